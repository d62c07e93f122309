"""Steps in child processes: spans join the run's trace, measurements are recorded in the run's process.

The command that Dagster pickles for the child is wrapped. In the child it makes the run's span the parent of
what follows, and hands over what the bus tells and instruments record: it goes to the parent over Dagster's
own queue, between Dagster's events, and is taken out there before Dagster sees it. So each series has one
writer, and counts each thing once. Spans, log events and audit records leave from the child itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dagster._core.executor.child_process_executor import ChildProcessCommand, ChildProcessCrashException
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.dagster.workers import Establish, flush_at_exit, is_auto
from opentelemetry.instrumentation.flowstone.errors import error as tell_error
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from assay.telemetry import attach_many, bridge
from assay.telemetry.ambient import correlation_id
from assay.telemetry.spans import qualified_name

RELAY_ID = "flowstone.dagster.relay"
_NOT_SENT = {"reason", "stacktrace", "telemetry_span_context"}


@dataclass(frozen=True)
class Told:
    """One event that a child told its bus.

    Args:
        event: Its name.
        measurements: As on the bus.
        metadata: As on the bus, as far as a label can be made of it.
        span: Trace id, span id and flags of what was current; exemplars lead to it.
    """

    event: str
    measurements: dict[str, Any]
    metadata: dict[str, Any]
    span: tuple[int, int, int]


@dataclass(frozen=True)
class Relayed:
    """What travels over Dagster's queue beside its own events.

    Args:
        told: In the order it was told.
    """

    told: tuple[Told, ...]


class RelayedCommand(ChildProcessCommand):
    """Dagster's command for a child process, with telemetry around it.

    Args:
        establish: Instruments the child.
        command: Dagster's.
        carrier: The run's trace context and baggage.
        run_id: Correlates what the child tells.
        auto: The parent is auto-instrumented.
    """

    def __init__(
        self, establish: Establish, command: Foreign, carrier: Mapping[str, str], run_id: str, *, auto: bool
    ) -> None:
        self._establish = establish
        self._command = command
        self._carrier = carrier
        self._run_id = run_id
        self._auto = auto

    def execute(self) -> Iterator[Any]:
        """Be Dagster's command, in the child; yield its events, and what is to be relayed."""
        outbox = Outbox()
        self._establish(auto=self._auto)
        self._join_run()
        relay(outbox)
        flush_at_exit(metrics=False)
        try:
            for event in self._command.execute():
                yield event
                yield from outbox.drain()
        except BaseException:
            yield from outbox.drain()
            raise
        yield from outbox.drain()

    @guarded
    def _join_run(self) -> None:
        otel_context.attach(propagate.extract(self._carrier))
        correlation_id.set(self._run_id)


class Outbox:
    """What the child has told since the parent last heard of it."""

    def __init__(self) -> None:
        self._told: deque[Told] = deque()

    def keep(
        self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
    ) -> None:
        """Handle a bus event."""
        span = trace.get_current_span().get_span_context()
        self._told.append(
            Told(
                event,
                dict(measurements),
                _sendable(metadata),
                (span.trace_id, span.span_id, span.trace_flags),
            )
        )

    def drain(self) -> Iterator[Relayed]:
        """Yield what there is, and forget it."""
        told: list[Told] = []
        while self._told:
            told.append(self._told.popleft())
        if told:
            yield Relayed(tuple(told))


@guarded
def relay(outbox: Outbox) -> None:
    """Have instruments record in the parent what this process tells."""
    mine = bridge.current()
    if mine is None:
        return
    quiet = mine.without_instruments()
    mine.detach()
    # Before the bridge: when a span ends it is still current then, for the exemplars.
    attach_many(RELAY_ID, mine.recorded_events, outbox.keep)
    quiet.attach()


def execute_child(
    establish: Establish, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Foreign:
    """Wrap `execute_child_process_command(multiprocessing_ctx, command)`, in the parent."""
    command = args[1] if len(args) > 1 else kwargs.get("command")
    relayed = _wrap(establish, command) if is_instrumentation_enabled() else None
    if relayed is None:
        return wrapped(*args, **kwargs)
    return _record_relayed(wrapped(args[0] if args else kwargs["multiprocessing_ctx"], relayed), command)


def _record_relayed(events: Foreign, command: Foreign) -> Iterator[Any]:
    try:
        for event in events:
            if isinstance(event, Relayed):
                _record(event)
                # Dagster's own word for: nothing has happened.
                yield None
            else:
                yield event
    except ChildProcessCrashException as crash:
        _tell_crash(crash, command)
        raise
    finally:
        events.close()


@guarded
def _wrap(establish: Establish, command: Foreign) -> RelayedCommand:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return RelayedCommand(establish, command, carrier, command.dagster_run.run_id, auto=is_auto())


@guarded
def _record(relayed: Relayed) -> None:
    mine = bridge.current()
    if mine is None:
        return
    for told in relayed.told:
        trace_id, span_id, flags = told.span
        span = trace.NonRecordingSpan(
            trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
        )
        with trace.use_span(span):
            mine.record(told.event, told.measurements, told.metadata)


@guarded
def _tell_crash(crash: Foreign, command: Foreign) -> None:
    tell_error(
        qualified_name(ChildProcessCrashException),
        f"the child process of step {command.step_key} ended with exit code {crash.exit_code}",
        asset=command.step_key.split("[", 1)[0],
        run_id=command.dagster_run.run_id,
    )


def _sendable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that labels are made of, as plain values: others may not survive pickling."""
    sent = {
        key: value if isinstance(value, (str, int, float)) else str(value)
        for key, value in metadata.items()
        if value is not None and key not in _NOT_SENT
    }
    if "kind" in sent:
        sent.setdefault("error_type", sent["kind"])
    return sent
