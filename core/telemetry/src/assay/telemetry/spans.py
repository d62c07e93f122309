"""`span`: an operation with a beginning and an end, told to the bus as two events."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import Context, copy_context
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import count
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import Any, TypeAlias, TypeVar, cast

from assay.telemetry import bus
from assay.telemetry.ambient import correlation_id

F = TypeVar("F", bound=Callable[..., object])

Function: TypeAlias = Callable[..., Any]
Given: TypeAlias = dict[str, Any]

_contexts = count(1)
_phases: dict[str, tuple[str, str, str]] = {}
_ENDS_WELL = (GeneratorExit, StopIteration, StopAsyncIteration)


class Span:
    """An operation on the bus; `span` is its name in the API.

    As a context manager, or as a decorator of a function, coroutine, generator or async generator, it
    executes

    - `<event>.start` with measurements `system_time` and `monotonic_time` (ns), then
    - `<event>.stop` with `duration` and `monotonic_time` (ns), or
    - `<event>.exception` with the same and metadata `kind` (the error's type), `reason` and `stacktrace`,
      when an exception leaves the block (it goes on to the caller) or after `fail`.

    All share `metadata` and the key `telemetry_span_context`. A generator that is closed early ends well; a
    cancelled coroutine does not. If the process dies in between, neither `.stop` nor `.exception` comes.

    Each step of a generator runs in a context of its own, so that what is current inside it (the span, the
    correlation id) does not leak to its consumer between two steps.

    Args:
        event: Prefix of the three events.
        metadata: Given with each of them.
    """

    __slots__ = (
        "_begun",
        "_bound",
        "_dropped",
        "_end",
        "_error",
        "_event",
        "_given",
        "_measurements",
        "_metadata",
        "_screened",
        "_shared",
    )

    def __init__(self, event: str, /, **metadata: object) -> None:
        self._event = event
        self._given = metadata
        self._measurements: dict[str, Any] | None = None
        self._metadata: dict[str, Any] | None = None

    @property
    def measurements(self) -> dict[str, Any]:
        """Added to the last event's measurements."""
        if self._measurements is None:
            self._measurements = {}
        return self._measurements

    @property
    def metadata(self) -> dict[str, Any]:
        """Added to the last event's metadata."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    def fail(self, error: BaseException | str, kind: str = "_OTHER") -> None:
        """End with `.exception` though nothing is raised.

        Args:
            error: The error, or what went wrong in words.
            kind: The error's type, where `error` is a text.
        """
        self._error = (error, kind)

    def end_as(self, phase: str) -> None:
        """End with `.<phase>` instead of `.stop`, where the registry gives the span further good ends.

        Args:
            phase: Such as `canceled`.
        """
        self._end = f"{self._event}.{phase}"

    def __enter__(self) -> Span:  # noqa: PYI034 - typing.Self is not in 3.10
        """Execute `.start`."""
        event = self._event
        start = (_phases.get(event) or _name_phases(event))[0]
        self._error: tuple[BaseException | str, str] | None = None
        self._end = ""
        self._bound: tuple[str, str | None] | None = None
        self._dropped = self._screened = False
        shared = {**self._given, "telemetry_span_context": next(_contexts)}
        self._shared: bus.Metadata = shared
        self._begun = begun = monotonic_ns()
        route = bus.routes.get(start)
        if route is None:
            route = bus.resolve(start)
        if route:
            screened = route({"system_time": time_ns(), "monotonic_time": begun}, shared)
            if screened is None:
                self._dropped = True
            else:
                self._shared = screened
                self._screened = True
                # What happens inside gets the same, whether or not a bridge makes a span of this.
                given = screened.get("correlation_id")
                before = correlation_id.get()
                if given is not None and given != before:
                    correlation_id.set(given)
                    self._bound = (given, before)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Execute `.stop` or `.exception`."""
        now = monotonic_ns()
        measurements = {"duration": now - self._begun, "monotonic_time": now}
        if self._measurements:
            measurements.update(self._measurements)
        if exception is not None and not isinstance(exception, _ENDS_WELL):
            self._error = (exception, "")
        if self._error is not None:
            self._execute_exception(measurements, *self._error)
        elif not self._dropped:
            stop = self._end or _phases[self._event][1]
            route = bus.routes.get(stop)
            if route is None:
                route = bus.resolve(stop)
            if not route:
                pass
            elif self._screened and not self._metadata:
                # The filters have seen all of it at the start, and a span's phases share one verdict.
                route(measurements, self._shared, None)
            else:
                route(measurements, {**self._shared, **(self._metadata or {})})
        if self._bound is not None:
            mine, before = self._bound
            # Not by token: that would fail where the block ends in another context than it began in.
            if correlation_id.get() == mine:
                correlation_id.set(before)

    def __call__(self, function: F) -> F:
        """Make each call of `function` such a span."""
        if isinstance(function, staticmethod):
            return cast("F", staticmethod(self(cast("Callable[..., object]", function.__func__))))
        if isinstance(function, classmethod):
            return cast("F", classmethod(self(cast("Any", function).__func__)))
        decorate = _decorate_function
        if isasyncgenfunction(function):
            decorate = _decorate_async_generator
        elif isgeneratorfunction(function):
            decorate = _decorate_generator
        elif iscoroutinefunction(function):
            decorate = _decorate_coroutine
        return cast("F", decorate(self._event, self._given, function))

    def _execute_exception(self, measurements: dict[str, Any], error: BaseException | str, kind: str) -> None:
        name = _phases[self._event][2]
        route = bus.resolve(name)
        if not route:
            return
        stacktrace = ""
        if isinstance(error, BaseException):
            kind = qualified_name(type(error))
            stacktrace = _format(error)
        description = {"kind": kind, "reason": error, "stacktrace": stacktrace}
        route(measurements, {**self._shared, **description, **(self._metadata or {})})


span = Span


def qualified_name(error: type[BaseException]) -> str:
    """Return an error type's name as OpenTelemetry writes it: with its module, but for the built-in ones."""
    if error.__module__ == "builtins":
        return error.__qualname__
    return f"{error.__module__}.{error.__qualname__}"


def _format(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return ""


def _name_phases(event: str) -> tuple[str, str, str]:
    if len(_phases) >= bus.CACHE_LIMIT:
        return (f"{event}.start", f"{event}.stop", f"{event}.exception")
    return _phases.setdefault(event, (f"{event}.start", f"{event}.stop", f"{event}.exception"))


def _decorate_function(event: str, metadata: Given, function: Function) -> Function:
    @wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        with Span(event, **metadata):
            return function(*args, **kwargs)

    return call


def _decorate_coroutine(event: str, metadata: Given, function: Function) -> Function:
    @wraps(function)
    async def call(*args: object, **kwargs: object) -> object:
        with Span(event, **metadata):
            return await function(*args, **kwargs)

    return call


def _decorate_generator(event: str, metadata: Given, function: Function) -> Function:
    @wraps(function)
    def call(*args: object, **kwargs: object) -> Generator[Any, Any, Any]:
        context = copy_context()
        operation = Span(event, **metadata)
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
                except BaseException as thrown:  # noqa: BLE001 - all of it is the inner generator's, also its close
                    step, argument = inner.throw, thrown
        except StopIteration as stop:
            context.run(operation.__exit__, None, None, None)
            return stop.value
        except BaseException as error:
            context.run(operation.__exit__, type(error), error, error.__traceback__)
            raise

    return call


def _decorate_async_generator(event: str, metadata: Given, function: Function) -> Function:
    @wraps(function)
    async def call(*args: object, **kwargs: object) -> AsyncGenerator[Any, Any]:
        context = copy_context()
        operation = Span(event, **metadata)
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
                except BaseException as thrown:  # noqa: BLE001 - all of it is the inner generator's, also its close
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
    """Be `inner`, each step of it run in `context`."""
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
        except BaseException as thrown:  # noqa: BLE001 - all of it is the inner generator's, also its close
            step, argument = inner.throw, thrown
