"""Puts wrappers around Dagster's functions, and takes them away without a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import wrapt
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
Substitute = Callable[[Any], Any]
"""Takes what is there, returns what shall be."""


@dataclass(frozen=True)
class Target:
    """Something of Dagster's.

    Args:
        module: Where it is looked up, which is where it is imported to, not where it is defined.
        path: A function's name, or `Class.method`; the method may be inherited.
    """

    module: str
    path: str


class Patches:
    """What is patched, and how it was.

    A module is patched when the program imports it, or at once if it has: instrumenting imports nothing of
    Dagster's, which takes a second, into a program that may never use it.
    """

    def __init__(self) -> None:
        self._applied: list[tuple[Any, str, Any, Any]] = []
        self._is_on = True

    def wrap(self, target: Target, wrapper: Wrapper) -> None:
        """Put a wrapper around a function or method; where Dagster has none, the log says so."""
        self.substitute(
            target, lambda original: wrapt.FunctionWrapper(original, wrapper, enabled=lambda: self._is_on)
        )

    def substitute(self, target: Target, make: Substitute) -> None:
        """Put something else in the place of a function or method."""

        @guarded
        def apply(module: Foreign) -> None:
            if self._is_on:
                self._set(*_owner(module, target), make)

        wrapt.register_post_import_hook(apply, target.module)

    def restore(self) -> None:
        """Put back what was there; what others wrapped since stays, with our wrapper in it switched off."""
        self._is_on = False
        for owner, name, original, mine in reversed(self._applied):
            if _held(owner).get(name) is mine:
                setattr(owner, name, original)
        self._applied.clear()

    def _set(self, owner: Foreign, name: str, make: Substitute) -> None:
        original = _held(owner)[name]
        mine = make(original)
        setattr(owner, name, mine)
        self._applied.append((owner, name, original, mine))


def _held(owner: object) -> Mapping[str, Any]:
    """Return what a module or a class itself holds, descriptors as they are."""
    return vars(owner)


def _owner(module: Foreign, target: Target) -> tuple[Any, str]:
    """Return the module or the class that itself holds the target, and the target's name there."""
    owner = module
    *classes, name = target.path.split(".")
    for class_name in classes:
        owner = getattr(owner, class_name)
    if isinstance(owner, type):
        for base in owner.__mro__:
            if name in _held(base):
                return base, name
    if name not in _held(owner):
        raise AttributeError(f"{target.module} has no {target.path}; is this Dagster newer than the adapter?")
    return owner, name
