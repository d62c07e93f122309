"""What one bus event becomes beside spans, and how that is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import Any

from opentelemetry._logs import Logger

from assay.semconv.catalogue import Event, Span
from assay.telemetry import bus
from assay.telemetry.audits import Write
from assay.telemetry.instruments import Recorded, write_recordings
from assay.telemetry.logs import write_log
from assay.telemetry.runtime import SUPPRESS_KEY, get_current
from assay.telemetry.source import Source

AUDIT_HANDLER_ID = "assay.bridge.audit"


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of one bus event.

    Args:
        recorded: Its ways into instruments.
        log: The log event that it becomes.
        logger: Takes the log event.
        audit: Writes it as an audit record.
    """

    recorded: tuple[Recorded, ...] = ()
    log: Event | None = None
    logger: Logger | None = None
    audit: Write | None = None

    def __bool__(self) -> bool:
        return bool(self.recorded or self.log or self.audit)

    def write(self, source: Source, span: Span | None = None) -> None:
        """Write what tells it, in a handler that knows `context` and `time`.

        Args:
            source: The handler.
            span: As in `write_log`.
        """
        self.write_signals(source, span)
        self.write_audit(source)

    def write_signals(self, source: Source, span: Span | None = None) -> None:
        """Write what records it and emits it."""
        write_recordings(source, self.recorded)
        if self.log is not None and self.logger is not None:
            write_log(source, self.logger, self.log, span)

    def write_audit(self, source: Source) -> None:
        """Write what hands it to the audit trail."""
        if self.audit is not None:
            source.write("audit(event, measurements, metadata, time)", audit=_guarded(self.audit))


def handler_source(name: str) -> Source:
    """Return the source of a handler, to be written."""
    return Source(name, "event", "measurements", "metadata", "config")


def plain_handler(telling: Telling) -> bus.Handler:
    """Return what handles an event that has no span."""
    source = handler_source("tell")
    source.write(
        """
        context = get_current()
        time = measurements.get("system_time") or time_ns()
        """,
        get_current=get_current,
        time_ns=time_ns,
    )
    with source.block("if not context.get(suppress)"):
        source.write("pass", suppress=SUPPRESS_KEY)
        telling.write_signals(source)
    telling.write_audit(source)
    return source.build()


def rare_plain_handler(telling: Telling) -> bus.Handler:
    """Return the same for where it is seldom needed: it is written when it is."""
    written: bus.Handler | None = None

    def handle(
        event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: object
    ) -> None:
        nonlocal written
        if written is None:
            written = plain_handler(telling)
        written(event, measurements, metadata, config)

    return handle


def _guarded(write: Write) -> Callable[[str, Mapping[str, Any], Mapping[str, Any], int], None]:
    """Return what writes an audit record. Its failure is told as a handler's but trips no breaker."""

    def guarded(event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], time: int) -> None:
        try:
            write(measurements, metadata, time, metadata.get("correlation_id"))
        except Exception as error:  # noqa: BLE001 - must break neither the emitter nor the span
            bus.report_failure(AUDIT_HANDLER_ID, event, error)

    return guarded
