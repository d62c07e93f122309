"""Wrappers around a library's functions, reduced to their subject.

```python
def store(call: Call) -> Foreign:
    with Operation(span("shop.store", item=call.argument("item"))):
        return call()
```

`Patches.wrap` applies `wrapper(store)`, which has the signature that wrapt asks for. While instrumentation is
suppressed (`suppress_instrumentation`), it only calls the library's function. An exception of `store` itself
is logged and does not reach the caller, who gets the result or the exception of the library's function.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, wraps
from inspect import Parameter
from typing import Any, TypeAlias, cast

from assay.instrumentation.foreign import Foreign
from assay.instrumentation.guard import report
from assay.telemetry.ambient import is_suppressed

WraptWrapper: TypeAlias = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""The signature that wrapt asks for: function, instance, positional arguments, arguments by name."""
Concerns: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], object]
"""Takes a call's instance, positional arguments and arguments by name; returns whether to wrap the call."""


class Call:
    """One call of a wrapped function. Calling it calls the library's function, with the caller's arguments.

    Args:
        wrapped: The library's function, bound to its instance if it is a method.
        instance: The object whose method it is; None for a function.
        args: The caller's positional arguments.
        kwargs: The caller's arguments by name.

    Attributes:
        error: The exception that the library's function has raised in this call.
    """

    __slots__ = ("_result", "args", "error", "instance", "is_done", "kwargs", "wrapped")

    def __init__(
        self, wrapped: Callable[..., Any], instance: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.wrapped = wrapped
        self.instance = instance
        self.args = args
        self.kwargs = kwargs
        self.error: BaseException | None = None
        self.is_done = False
        self._result: Any = None

    def __call__(self) -> Foreign:
        """Call the library's function; return its result or raise its exception."""
        self.is_done = True
        try:
            self._result = self.wrapped(*self.args, **self.kwargs)
        except BaseException as error:
            self.error = error
            raise
        return self._result

    def argument(self, name: str, default: Foreign = None) -> Foreign:
        """Return an argument by its name, whether the caller gave it by name or by position.

        Args:
            name: The parameter's name in the library's function.
            default: Returned if the caller did not give the argument and the function has no default for it.
        """
        if name in self.kwargs:
            return self.kwargs[name]
        position, own_default = _parameters(self.wrapped).get(name, (len(self.args), default))
        if position < len(self.args):
            return self.args[position]
        return default if own_default is Parameter.empty else own_default

    def replace(self, name: str, value: Foreign) -> None:
        """Give the library's function another value for an argument."""
        position, _ = _parameters(self.wrapped).get(name, (len(self.args), None))
        if name not in self.kwargs and position < len(self.args):
            self.args = (*self.args[:position], value, *self.args[position + 1 :])
        else:
            self.kwargs[name] = value

    def finish(self) -> Foreign:
        """Return the result of the library's function, which is called if it has not been."""
        if self.error is not None:
            raise self.error
        return self._result if self.is_done else self()


class AsyncCall(Call):
    """One call of a wrapped coroutine function. Awaiting `call()` awaits the library's coroutine."""

    __slots__ = ()

    async def __call__(self) -> Foreign:
        """Await the library's coroutine; return its result or raise its exception."""
        self.is_done = True
        try:
            self._result = await cast("Awaitable[Any]", self.wrapped(*self.args, **self.kwargs))
        except BaseException as error:
            self.error = error
            raise
        return self._result

    async def finish(self) -> Foreign:
        """Return the result of the library's coroutine, which is awaited if it has not been."""
        if self.error is not None:
            raise self.error
        return self._result if self.is_done else await self()


def wrapper(around: Callable[..., Any], concerns: Concerns | None = None) -> WraptWrapper:
    """Return the wrapt wrapper of a function that takes a `Call` and returns its result.

    Args:
        around: A function, or a coroutine function that wraps a coroutine function and takes an `AsyncCall`.
        concerns: Selects the calls to wrap; None: all. If it fails, the call is wrapped.
    """
    wrap = _async_wrapper(around) if inspect.iscoroutinefunction(around) else _sync_wrapper(around)
    return wrap if concerns is None else _selective_wrapper(wrap, concerns)


def _selective_wrapper(wrap: WraptWrapper, concerns: Concerns) -> WraptWrapper:
    @wraps(wrap)
    def wrap_selected(
        wrapped: Callable[..., Any], instance: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        try:
            is_concerned = concerns(instance, args, kwargs)
        except Exception as error:  # noqa: BLE001 - an instrumentation must not break the library
            report(concerns, error)
            is_concerned = True
        return wrap(wrapped, instance, args, kwargs) if is_concerned else wrapped(*args, **kwargs)

    return wrap_selected


def _sync_wrapper(around: Callable[[Call], Any]) -> WraptWrapper:
    @wraps(around)
    def wrap(
        wrapped: Callable[..., Any], instance: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        if is_suppressed():
            return wrapped(*args, **kwargs)
        call = Call(wrapped, instance, args, kwargs)
        try:
            try:
                return around(call)
            except Exception as error:
                if error is call.error:
                    raise
                report(around, error)
            # Outside of the inner block, so that an exception of the library keeps its own context.
            return call.finish()
        finally:
            call.error = None  # its traceback refers to this call: the two would keep each other alive

    return wrap


def _async_wrapper(around: Callable[[AsyncCall], Awaitable[Any]]) -> WraptWrapper:
    @wraps(around)
    async def wrap(
        wrapped: Callable[..., Any], instance: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        if is_suppressed():
            return await wrapped(*args, **kwargs)
        call = AsyncCall(wrapped, instance, args, kwargs)
        try:
            return await _await_guarded(around, call)
        finally:
            call.error = None

    return wrap


async def _await_guarded(around: Callable[[AsyncCall], Awaitable[Any]], call: AsyncCall) -> Foreign:
    try:
        return await around(call)
    except Exception as error:
        if error is call.error:
            raise
        report(around, error)
    return await call.finish()


def _parameters(function: Callable[..., Any]) -> Mapping[str, tuple[int, Any]]:
    """Return the position and the default of each parameter that may be given by position."""
    bound_to = getattr(function, "__self__", None)
    return _read_parameters(getattr(function, "__func__", function), is_bound=bound_to is not None)


@lru_cache(1024)
def _read_parameters(function: Callable[..., Any], *, is_bound: bool) -> Mapping[str, tuple[int, Any]]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some functions written in C have no signature
        return {}
    by_position = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    parameters = found[1:] if is_bound and hasattr(function, "__code__") else found
    return {
        parameter.name: (position if parameter.kind in by_position else 1 << 30, parameter.default)
        for position, parameter in enumerate(parameters)
    }
