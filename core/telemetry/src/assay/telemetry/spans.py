"""`span`: an operation with a start and an end, emitted as two events."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, cast

from assay.telemetry import bus, sampling
from assay.telemetry._decorate import decorate
from assay.telemetry._otel_context import OPEN_SPAN_KEY
from assay.telemetry._otel_context import attach as attach_context
from assay.telemetry._otel_context import get_current as get_current_context
from assay.telemetry._pipeline import filter_exempt, filter_undecided
from assay.telemetry.ambient import correlation_id

F = TypeVar("F", bound=Callable[..., object])


class Phases(NamedTuple):
    """The last parts of the names of a span's events.

    Args:
        start: The event that starts the span.
        stop: The event that ends it without an error.
        exception: The event that ends it with an error.
        canceled: The event that ends it when its task was cancelled; None: `stop`, with metadata `status`
            `canceled`.
    """

    start: str = "start"
    stop: str = "stop"
    exception: str = "exception"
    canceled: str | None = None


DEFAULT_PHASES = Phases()

_ENDS_WITHOUT_ERROR = (GeneratorExit, StopIteration, StopAsyncIteration)
_CANCELLATIONS = frozenset({"CancelledError", "Cancelled"})
"""asyncio's, and that of trio and anyio; by name, so that none of them is imported for it."""
# A large random start, so that an emitter that numbers its own contexts from 1 does not meet ours.
_contexts = count(random.SystemRandom().getrandbits(61))
_names: dict[str, tuple[str, str, str]] = {}
_generation = 0
"""How many forks lie between this process and the one that imported the module."""


class Span:
    """An operation on the bus; the API exports it as `span` too.

    As a context manager, or as a decorator of a function, coroutine, generator or async generator, it emits

    - `<event>.start` with measurements `system_time` and `monotonic_time` (ns), then
    - `<event>.stop` with `duration` and `monotonic_time` (ns), or
    - `<event>.exception` with the same measurements and metadata `kind` (the error's type), `reason` and
      `stacktrace`, when an exception leaves the block (the exception propagates) or after `fail`.

    All events carry `metadata` and the same `telemetry_span_context`. These do not end a span with an error:
    closing a generator early, `SystemExit` with code 0 or None, and a cancellation, which ends it with the
    phase `canceled` or, if `phases` has none, with `.stop` and metadata `status="canceled"`. If the process
    dies, no end is emitted. A forked child that leaves the block emits nothing: the span is its parent's.

    Each step of a generator runs in a context of its own, so the current span and correlation id inside the
    generator do not leak to its consumer between two steps.

    Args:
        event: Prefix of the events.
        phases: Names of the phases, where they are not the usual ones.
        metadata: Added to each event.
    """

    __slots__ = (
        "_begun",
        "_bound",
        "_dropped",
        "_end",
        "_error",
        "_event",
        "_filtered",
        "_generation",
        "_given",
        "_measurements",
        "_metadata",
        "_names",
        "_phases",
        "_shared",
        "_suspended",
    )

    def __init__(self, event: str, /, *, phases: Phases = DEFAULT_PHASES, **metadata: object) -> None:
        self._event = event
        self._phases = phases
        self._given = metadata
        self._measurements: dict[str, Any] | None = None
        self._metadata: dict[str, Any] | None = None
        self._shared: bus.Metadata | None = None
        self._suspended: list[tuple[Any, ...]] | None = None

    @property
    def measurements(self) -> dict[str, Any]:
        """Measurements added to the last event."""
        if self._measurements is None:
            self._measurements = {}
        return self._measurements

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata added to the last event."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    def fail(self, error: BaseException | str, kind: str = "_OTHER") -> None:
        """End the span with an error although nothing is raised.

        Args:
            error: The error, or its message.
            kind: The error's type, where `error` is a message.
        """
        self._error = (error, kind)

    def end_as(self, phase: str) -> None:
        """End the span with `.<phase>` instead of `.stop`, where the registry defines further good ends.

        Args:
            phase: Such as `canceled`.
        """
        self._end = f"{self._event}.{phase}"

    def emit(self, phase: str, /, **metadata: object) -> None:
        """Emit an event between start and end, such as `branch_start` or `batch_complete`.

        It carries the span's metadata but not its `telemetry_span_context`, so it neither starts nor ends a
        span.

        Args:
            phase: Last part of the event's name.
            metadata: Added to the span's.
        """
        bus.execute(f"{self._event}.{phase}", None, {**self._given, **metadata})

    def __enter__(self) -> Span:  # noqa: PYI034 - typing.Self is not in 3.10
        """Emit `.start`."""
        if self._shared is not None:
            self._suspend()
        phases = self._phases
        names = _names.get(self._event) if phases is DEFAULT_PHASES else None
        self._names = names = names or _name_events(self._event, phases)
        self._error: tuple[BaseException | str, str] | None = None
        self._end = ""
        self._bound: tuple[str, str | None] | None = None
        self._dropped = self._filtered = False
        self._generation = _generation
        shared = {**self._given, "telemetry_span_context": next(_contexts)}
        self._shared = shared
        self._begun = begun = monotonic_ns()
        route = bus.routes.get(names[0])
        if route is None:
            route = bus.resolve(names[0])
        if route:
            filtered = route({"system_time": time_ns(), "monotonic_time": begun}, shared)
            if filtered is None:
                self._dropped = True
            else:
                self._shared = filtered
                self._filtered = True
                # Code inside the block gets the same id, whether or not a bridge makes a span of this.
                given = filtered.get("correlation_id")
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
        """Emit `.stop` or `.exception`."""
        now = monotonic_ns()
        shared = cast("bus.Metadata", self._shared)
        if self._generation != _generation:
            _leave_in_child(shared)
        else:
            if exception is not None:
                self._judge(exception)
            measurements = {"duration": now - self._begun, "monotonic_time": now}
            if self._measurements:
                measurements.update(self._measurements)
            if self._error is not None:
                self._emit_exception(measurements, shared, *self._error)
            elif not self._dropped:
                self._emit_stop(measurements, shared)
            if sampling.decisions:
                sampling.decisions.forget(self._event, shared["telemetry_span_context"])
        if self._bound is not None:
            mine, before = self._bound
            # Not by token: that would fail where the block ends in another context than it began in.
            if correlation_id.get() == mine:
                correlation_id.set(before)
        self._shared = None
        if self._suspended:
            self._resume()

    def __call__(self, function: F) -> F:
        """Make each call of `function` a span."""
        return cast("F", decorate(partial(Span, self._event, phases=self._phases, **self._given), function))

    def _judge(self, exception: BaseException) -> None:
        """Decide what an exception that leaves the block means: an error, a cancellation, or a usual end."""
        if isinstance(exception, _ENDS_WITHOUT_ERROR):
            return
        if isinstance(exception, SystemExit) and exception.code in {None, 0}:
            return
        if not isinstance(exception, Exception) and type(exception).__name__ in _CANCELLATIONS:
            if self._phases.canceled is not None:
                self.end_as(self._phases.canceled)
            else:
                self.metadata.setdefault("status", "canceled")
            return
        self._error = (exception, "")

    def _emit_stop(self, measurements: dict[str, Any], shared: bus.Metadata) -> None:
        stop = self._end or self._names[1]
        route = bus.routes.get(stop)
        if route is None:
            route = bus.resolve(stop)
        if not route:
            return
        if not self._filtered:
            route(measurements, {**shared, **(self._metadata or {})})
        elif self._metadata:
            # The start has decided for the whole span; only the new metadata needs the other filters.
            route(measurements, {**shared, **self._metadata}, filter_undecided)
        else:
            route(measurements, shared, None)

    def _emit_exception(
        self, measurements: dict[str, Any], shared: bus.Metadata, error: BaseException | str, kind: str
    ) -> None:
        route = bus.resolve(self._names[2])
        if not route:
            return
        stacktrace = ""
        if isinstance(error, BaseException):
            kind = qualified_name(type(error))
            stacktrace = _format(error)
        description = {"kind": kind, "reason": error, "stacktrace": stacktrace}
        route(measurements, {**shared, **description, **(self._metadata or {})}, filter_exempt)

    def _suspend(self) -> None:
        """Save the state of a span that is entered again before it was left."""
        state = (
            self._shared, self._begun, self._names, self._error, self._end, self._bound, self._dropped,
            self._filtered, self._generation, self._measurements, self._metadata,
        )  # fmt: skip
        self._suspended = [*(self._suspended or ()), state]
        self._measurements = self._metadata = None

    def _resume(self) -> None:
        """Restore what `_suspend` saved last."""
        (
            self._shared, self._begun, self._names, self._error, self._end, self._bound, self._dropped,
            self._filtered, self._generation, self._measurements, self._metadata,
        ) = cast("list[tuple[Any, ...]]", self._suspended).pop()  # fmt: skip


span = Span


def qualified_name(error: type[BaseException]) -> str:
    """Return an error type's name as OpenTelemetry writes it: with its module, except for built-in types."""
    if error.__module__ == "builtins":
        return error.__qualname__
    return f"{error.__module__}.{error.__qualname__}"


def _leave_in_child(shared: bus.Metadata) -> None:
    """Restore the context from before a span that the parent process started, and ends."""
    open_span: Any = get_current_context().get(OPEN_SPAN_KEY)
    if open_span is not None and open_span.metadata.get("telemetry_span_context") == shared.get(
        "telemetry_span_context"
    ):
        attach_context(open_span.outside)


def _format(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return ""


def _name_events(event: str, phases: Phases) -> tuple[str, str, str]:
    names = (f"{event}.{phases.start}", f"{event}.{phases.stop}", f"{event}.{phases.exception}")
    if phases is DEFAULT_PHASES and len(_names) < bus.CACHE_LIMIT:
        _names[event] = names
    return names


def _count_fork() -> None:
    global _generation  # noqa: PLW0603 - one to a process
    _generation += 1


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_count_fork)
