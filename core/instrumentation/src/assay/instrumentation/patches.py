"""Patches of a library's functions, applied when the program imports the library and removed without a trace.

```python
patches = Patches()
patches.wrap(Target("shop.storage", "Storage.store"), store)
...
patches.restore()
```

Instrumenting imports nothing of the library. A module is patched when the program imports it, or at once if
it has. A target that the library does not have is logged once, unless it is optional, and all other patches
are applied.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import wrapt

from assay.instrumentation.foreign import Foreign
from assay.instrumentation.guard import guarded, is_first
from assay.instrumentation.wrappers import Concerns, wrapper

Replace: TypeAlias = Callable[[Any], Any]
"""Takes a function of the library and returns its replacement."""
Apply: TypeAlias = Callable[[Any], object]
"""Takes a module that has been imported, and patches it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A function or a method of a library.

    Args:
        module: The module in which the library looks the function up, even if another one defines it.
        path: Function name or `Class.method`. An inherited method is patched in the class that defines it.
        is_optional: Some supported versions of the library do not have it. Its absence is not logged.
    """

    module: str
    path: str
    is_optional: bool = False


class MissingTargetError(LookupError):
    """The library does not have a target."""


class Patches:
    """The patches of one instrumentation."""

    def __init__(self) -> None:
        self._applied: list[_Applied] = []
        self._waiting: list[tuple[str, Apply]] = []
        self._targets: set[tuple[Target, object]] = set()
        self._in_force = [True]

    def wrap(self, target: Target, around: Callable[..., Any], concerns: Concerns | None = None) -> None:
        """Wrap a function or a method.

        Args:
            target: The function or method.
            around: Takes an `assay.instrumentation.wrappers.Call` and returns the call's result. For a
                coroutine function, a coroutine function that takes an `AsyncCall`.
            concerns: Takes a call's instance, positional arguments and arguments by name, and returns whether
                to wrap the call. For a function that the library calls often and rarely in a way that
                matters: it is cheaper than a `Call`. None: every call is wrapped.
        """
        self._patch(
            target, around, lambda original: _Wrapper(original, wrapper(around, concerns), self._in_force)
        )

    def replace(self, target: Target, make: Replace) -> None:
        """Replace a function or a method by the result of `make(original)`.

        Use it where a wrapper is impossible, such as for a function that multiprocessing pickles. Unlike a
        wrapper, a replacement that another instrumentation has wrapped stays in force when its patches are
        restored.
        """
        self._patch(target, make, make)

    def on_import(self, module: str, function: Apply) -> None:
        """Call `function(module)` when the program imports a module, or now if it has.

        Exceptions of the function are logged and do not propagate.
        """
        apply = guarded(function)
        self._waiting.append((module, apply))
        _when_imported(module, apply)

    def restore(self) -> None:
        """Put the originals back. Where others have patched the same function since, turn off the wrapper."""
        self._in_force.clear()
        for module, apply in self._waiting:
            _forget(module, apply)
        for applied in reversed(self._applied):
            applied.undo()
        self._applied.clear()
        self._waiting.clear()
        self._targets.clear()

    def _patch(self, target: Target, patch: object, make: Replace) -> None:
        if (target, patch) in self._targets:
            return
        self._targets.add((target, patch))

        @guarded
        def apply(module: Foreign) -> None:
            try:
                owner, name = _owner(module, target)
            except MissingTargetError as error:
                if not target.is_optional and is_first(f"target {target}"):
                    _logger.warning("%s", error)
                return
            original = _attributes(owner)[name]
            patched = make(original)
            setattr(owner, name, patched)
            self._applied.append(_Applied(owner, name, original, patched))

        self._waiting.append((target.module, apply))
        _when_imported(target.module, apply)


class _Wrapper(wrapt.FunctionWrapper):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]
    """A wrapper that says whether its patches are still in force.

    Args:
        wrapped: The original.
        wrap: The wrapper.
        in_force: Empty once its patches are restored.
    """

    def __init__(self, wrapped: Foreign, wrap: Foreign, in_force: list[bool]) -> None:
        # wrapt asks at each call: a partial of `bool` costs less than a function.
        super().__init__(wrapped, wrap, enabled=partial(bool, in_force))  # pyright: ignore[reportUnknownMemberType]
        self._self_in_force = in_force

    def is_in_force(self) -> bool:
        """Return whether its patches have not been restored."""
        return bool(self._self_in_force)


@dataclass(frozen=True)
class _Applied:
    """A patch that is in force."""

    owner: Any
    name: str
    original: Any
    patched: Any

    def undo(self) -> None:
        if _attributes(self.owner).get(self.name) is self.patched:
            setattr(self.owner, self.name, _in_force(self.original))


def _attributes(owner: object) -> Mapping[str, Any]:
    """Return the attributes that a module or a class itself has, with descriptors as they are."""
    return vars(owner)


def _in_force(original: Foreign) -> Foreign:
    """Return the original without the wrappers whose own patches have been restored since."""
    while isinstance(original, _Wrapper) and not original.is_in_force():
        original = cast("Foreign", original).__wrapped__
    return original


def _owner(module: Foreign, target: Target) -> tuple[Any, str]:
    """Return the module or the class that itself holds the target, and the target's name there.

    Raises:
        MissingTargetError: There is none.
    """
    owner = module
    *classes, name = target.path.split(".")
    for class_name in classes:
        owner = getattr(owner, class_name, None)
    candidates = owner.__mro__ if isinstance(owner, type) else (owner,)
    for candidate in candidates:
        if owner is not None and name in _attributes(candidate):
            return candidate, name
    raise MissingTargetError(
        f"{target.module} has no {target.path}, so it is not instrumented; "
        "the library may be newer than its instrumentation"
    )


_pending: dict[str, list[Apply]] = {}


def _when_imported(name: str, apply: Apply) -> None:
    """Apply a patch when a module is imported, or now if it has been.

    wrapt cannot remove a hook, so each module gets one, however often its library is instrumented.
    """
    is_first_patch = name not in _pending
    _pending.setdefault(name, []).append(apply)
    if is_first_patch:
        hook = partial(_apply_pending, name)
        wrapt.register_post_import_hook(hook, name)  # pyright: ignore[reportUnknownMemberType]
    elif name in sys.modules:
        _apply_pending(name, sys.modules[name])


def _apply_pending(name: str, module: Foreign) -> None:
    for apply in _pending.pop(name, ()):
        apply(module)


def _forget(name: str, apply: Apply) -> None:
    if apply in _pending.get(name, ()):
        _pending[name].remove(apply)
