"""`span`: an operation with a beginning and an end, told to the bus as two events."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import Any, TypeVar, cast

from assay.telemetry import bus
from assay.telemetry.ambient import correlation_id
from assay.telemetry.decorating import decorate

F = TypeVar("F", bound=Callable[..., object])

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
        "_phases",
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
        self._phases = phases = _phases.get(self._event) or _name_phases(self._event)
        self._error: tuple[BaseException | str, str] | None = None
        self._end = ""
        self._bound: tuple[str, str | None] | None = None
        self._dropped = self._screened = False
        shared = {**self._given, "telemetry_span_context": next(_contexts)}
        self._shared: bus.Metadata = shared
        self._begun = begun = monotonic_ns()
        route = bus.routes.get(phases[0])
        if route is None:
            route = bus.resolve(phases[0])
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
            stop = self._end or self._phases[1]
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
        return cast("F", decorate(partial(Span, self._event, **self._given), function))

    def _execute_exception(self, measurements: dict[str, Any], error: BaseException | str, kind: str) -> None:
        route = bus.resolve(self._phases[2])
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
