"""Wrap functions, coroutines, generators and async generators so that each call is an operation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeAlias, cast

Function: TypeAlias = Callable[..., Any]
Begin: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Returns an operation: entered when the function begins, left when it ends."""


def decorate(begin: Begin, function: Any) -> Any:  # noqa: ANN401 - returns the kind of object that it takes
    """Return the function with an operation around each call.

    Each step of a generator runs in a context of its own, so what is current inside it does not leak to its
    consumer between two steps.

    Args:
        begin: Makes the operation of a call.
        function: A function of any kind, also a static or class method.
    """
    if isinstance(function, staticmethod):
        return staticmethod(decorate(begin, cast("Function", function.__func__)))
    if isinstance(function, classmethod):
        return classmethod(decorate(begin, cast("Any", function).__func__))
    decorate_kind = _decorate_function
    if isasyncgenfunction(function):
        decorate_kind = _decorate_async_generator
    elif isgeneratorfunction(function):
        decorate_kind = _decorate_generator
    elif iscoroutinefunction(function):
        decorate_kind = _decorate_coroutine
    return decorate_kind(begin, function)


def _decorate_function(begin: Begin, function: Function) -> Function:
    @wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        with begin():
            return function(*args, **kwargs)

    return call


def _decorate_coroutine(begin: Begin, function: Function) -> Function:
    @wraps(function)
    async def call(*args: object, **kwargs: object) -> object:
        with begin():
            return await function(*args, **kwargs)

    return call


def _decorate_generator(begin: Begin, function: Function) -> Function:
    @wraps(function)
    def call(*args: object, **kwargs: object) -> Generator[Any, Any, Any]:
        context = copy_context()
        operation = begin()
        context.run(operation.__enter__)
        inner: Generator[Any, Any, Any] = context.run(function, *args, **kwargs)
        step: Callable[[Any], Any] = inner.send
        argument: Any = None
        try:
            while True:
                item = context.run(step, argument)
                try:
                    argument = yield item
                    step = inner.send
                except BaseException as thrown:  # noqa: BLE001 - everything goes to the inner generator, its close too
                    step, argument = inner.throw, thrown
        except StopIteration as stop:
            context.run(operation.__exit__, None, None, None)
            return stop.value
        except BaseException as error:
            context.run(operation.__exit__, type(error), error, error.__traceback__)
            raise

    return call


def _decorate_async_generator(begin: Begin, function: Function) -> Function:
    @wraps(function)
    async def call(*args: object, **kwargs: object) -> AsyncGenerator[Any, Any]:
        context = copy_context()
        operation = begin()
        context.run(operation.__enter__)
        inner: AsyncGenerator[Any, Any] = context.run(function, *args, **kwargs)
        step: Callable[[Any], Any] = inner.asend
        argument: Any = None
        try:
            while True:
                item = await _InContext(step(argument), context)
                try:
                    argument = yield item
                    step = inner.asend
                except BaseException as thrown:  # noqa: BLE001 - everything goes to the inner generator, its close too
                    step, argument = inner.athrow, thrown
        except StopAsyncIteration:
            context.run(operation.__exit__, None, None, None)
        except BaseException as error:
            context.run(operation.__exit__, type(error), error, error.__traceback__)
            raise

    return call


class _InContext:
    """An awaitable, each step of which runs in `context`."""

    __slots__ = ("_awaitable", "_context")

    def __init__(self, awaitable: Awaitable[Any], context: Context) -> None:
        self._awaitable = awaitable
        self._context = context

    def __await__(self) -> Generator[Any, Any, Any]:
        return _steps(self._awaitable.__await__(), self._context)


def _steps(inner: Generator[Any, Any, Any], context: Context) -> Generator[Any, Any, Any]:
    """Iterate `inner`, running each of its steps in `context`."""
    step: Callable[[Any], Any] = inner.send
    argument: Any = None
    while True:
        try:
            item = context.run(step, argument)
        except StopIteration as stop:
            return stop.value
        try:
            argument = yield item
            step = inner.send
        except BaseException as thrown:  # noqa: BLE001 - everything goes to the inner generator, its close too
            step, argument = inner.throw, thrown
