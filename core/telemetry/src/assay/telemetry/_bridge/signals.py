"""Generate the handlers of bus events: measurements, log events and audit records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import Any, TypeAlias

from opentelemetry._logs import Logger
from opentelemetry.context import Context

from assay.semconv.catalogue import Event, Span
from assay.telemetry import bus
from assay.telemetry._bridge.audit_records import WriteRecord
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.logs import write_log
from assay.telemetry._bridge.metrics import InstrumentRecording, write_recordings
from assay.telemetry._bridge.reentrancy import deferring
from assay.telemetry._otel_context import PLAIN_SUPPRESS_KEY, SUPPRESS_KEY, get_current

Relay: TypeAlias = Callable[[str, Mapping[str, Any], Mapping[str, Any], Context], object]
"""Takes an event whose measurements another process records."""


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals that one bus event causes beside a span.

    Args:
        recordings: Its measurements.
        log: Its log event.
        logger: Emits the log event.
        write_audit: Hands its audit record over.
        relay: Takes the event, for another process that records its measurements.
    """

    recordings: tuple[InstrumentRecording, ...] = ()
    log: Event | None = None
    logger: Logger | None = None
    write_audit: WriteRecord | None = None
    relay: Relay | None = None

    def write_telemetry(self, source: Source, span: Span | None = None, extra: str = "") -> None:
        """Write the code that records the measurements and emits the log event.

        Args:
            source: A handler with the variables `context` and `time`.
            span: As in `write_log`.
            extra: As in `write_log`.
        """
        if self.relay is not None:
            source.write("relay(event, measurements, metadata, context)", relay=self.relay)
        else:
            write_recordings(source, self.recordings)
        if self.log is not None and self.logger is not None:
            write_log(source, self.logger, self.log, span, extra)

    def write_audit_record(self, source: Source) -> None:
        """Write the call that hands the audit record over; it does not raise an `Exception`.

        Args:
            source: A handler with the variables `context` and `time`.
        """
        if self.write_audit is not None:
            source.use("context", "time")
            source.write("write_audit(measurements, metadata, time, context)", write_audit=self.write_audit)


def handler_source(name: str) -> Source:
    """Return the source of a handler, to be written."""
    return Source(name, "event", "measurements", "metadata", "config")


def event_handler(signals: Signals) -> bus.Handler:
    """Return the handler of an event that is not a phase of a span."""
    source = handler_source("on_event")
    with deferring(source):
        _write_event(source, signals)
    return source.build()


def lazy_event_handler(signals: Signals) -> bus.Handler:
    """Return the same for a call from inside a handler; it is generated when it is first called."""
    generated: bus.Handler | None = None

    def handle(
        event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: object
    ) -> None:
        nonlocal generated
        if generated is None:
            source = handler_source("on_event_without_span")
            _write_event(source, signals)
            generated = source.build()
        generated(event, measurements, metadata, config)

    return handle


def _write_event(source: Source, signals: Signals) -> None:
    source.define("context", "time")
    source.write(
        """
        context = get_current()
        time = measurements.get("system_time") or time_ns()
        """,
        get_current=get_current,
        time_ns=time_ns,
    )
    # The audit record first: suppressed instrumentation does not suppress it, nor does a failing exporter.
    signals.write_audit_record(source)
    source.write("", suppress_key=SUPPRESS_KEY)
    with source.block(f"if not (context.get(suppress_key) or context.get({PLAIN_SUPPRESS_KEY!r}))"):
        signals.write_telemetry(source)
