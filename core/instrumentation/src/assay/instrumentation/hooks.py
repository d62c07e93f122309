"""Request and response hooks: a user's functions that get the OpenTelemetry span of an operation.

```python
def name_the_owner(span, job):
    span.set_attribute("shop.owner", job.owner)


ShopInstrumentor().instrument(request_hook=name_the_owner)
```

Under `opentelemetry-instrument` an environment variable of the instrumentor names the function, as
`package.module:function`. It is imported when the first operation starts. Hooks are called with recording
spans only, so the attributes that they set reach OpenTelemetry. Their exceptions are logged and do not
propagate.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from opentelemetry.trace import Span as OtelSpan

from assay.instrumentation.guard import guarded, is_first

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HookPoint:
    """A hook that an instrumentor offers.

    Args:
        name: The argument of `instrument` that takes it, such as `request_hook`.
        variable: The environment variable that may name it instead.
    """

    name: str
    variable: str


class Hook:
    """One hook of an instrumented library; it does nothing until it has a function.

    Args:
        point: Where it is called.
        function: The user's function, or None.
    """

    def __init__(self, point: HookPoint, function: Callable[..., object] | None = None) -> None:
        self._point = point
        self._reference = "" if function is not None else os.environ.get(point.variable, "").strip()
        self._function = None if function is None else guarded(function)
        self._original = function
        if self._reference and not _is_reference(self._reference):
            self._reject("it must have the form package.module:function")

    def __call__(self, span: OtelSpan | None, *details: object) -> None:
        """Call the function with a recording span and the instrumentation's details.

        Args:
            span: The span; None if the operation has no recording span, and the function is not called.
            details: The objects of the library that the instrumentor documents for this hook.
        """
        if span is None:
            return
        if self._reference:
            self._import()
        if self._function is not None:
            self._function(span, *details)

    def __bool__(self) -> bool:
        """Return whether it has a function, or the name of one that is not imported yet."""
        return self._function is not None or bool(self._reference)

    def reference(self) -> str:
        """Return the function's reference, `package.module:function`; empty if there is none.

        A function that cannot be imported, such as a lambda or a nested function, is reported once.
        """
        if self._original is None:
            return self._reference
        function = self._original
        found = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
        if _is_reference(found) and _find(found) is function:
            return found
        if is_first(f"{self._point.name} {found}"):
            _logger.warning(
                "%s %s cannot be imported by child processes that do not fork: they run without it. "
                "Define it at the top level of a module.",
                self._point.name,
                found,
            )
        return ""

    def adopt(self, reference: str) -> None:
        """Take over the hook of the parent process, if this process has none of its own."""
        if self._original is None and not self._reference and reference:
            self._reference = reference

    def _import(self) -> None:
        try:
            function = _load(self._reference)
        except Exception as error:  # noqa: BLE001 - importing runs the user's module
            self._reject(f"it cannot be imported: {type(error).__name__}: {error}")
            return
        if not callable(function):
            self._reject("it is not a function")
            return
        self._original, self._function, self._reference = function, guarded(function), ""

    def _reject(self, reason: str) -> None:
        if is_first(f"{self._point.variable} {self._reference}"):
            _logger.warning(
                "the hook %s (%s=%s) is not used: %s",
                self._point.name,
                self._point.variable,
                self._reference,
                reason,
            )
        self._reference = ""


class Hooks:
    """The hooks of one instrumentor.

    Args:
        points: The hooks that it offers.
        given: The arguments of `instrument`.
    """

    def __init__(self, points: Iterable[HookPoint] = (), given: Mapping[str, Any] | None = None) -> None:
        given = given or {}
        self._points = tuple(points)
        self._hooks = {point.name: Hook(point, given.get(point.name)) for point in self._points}

    def __getitem__(self, name: str) -> Hook:
        """Return a hook by the name of its point."""
        return self._hooks[name]

    def references(self) -> dict[str, str]:
        """Return the references of the functions, by the names of their points."""
        found = {name: hook.reference() for name, hook in self._hooks.items()}
        return {name: reference for name, reference in found.items() if reference}

    def variables(self) -> dict[str, str]:
        """Return the same by environment variables, for a child process that executes another program.

        The functions of this process's `__main__` do not exist there.
        """
        references = self.references()
        return {
            point.variable: references[point.name]
            for point in self._points
            if not references.get(point.name, "__main__:").startswith("__main__:")
        }

    def adopt(self, references: Mapping[str, str]) -> None:
        """Take over the hooks of the parent process where this process has none of its own."""
        for name, reference in references.items():
            self._hooks[name].adopt(reference)


def _is_reference(text: str) -> bool:
    module, separator, path = text.partition(":")
    parts = [*module.split("."), *path.split(".")]
    return bool(separator) and all(part.isidentifier() for part in parts)


def _load(reference: str) -> Any:  # noqa: ANN401 - whatever stands there
    module, _, path = reference.partition(":")
    found = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _find(reference: str) -> object:
    try:
        return _load(reference)
    except Exception:  # noqa: BLE001 - importing runs the user's module
        return None
