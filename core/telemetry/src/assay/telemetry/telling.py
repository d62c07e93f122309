"""What one bus event becomes beside spans, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import time_ns
from typing import Any

from opentelemetry import context as otel_context

from assay.telemetry import bus
from assay.telemetry.audits import Write
from assay.telemetry.instruments import Recorder
from assay.telemetry.logs import Log

CORRELATION_ATTRIBUTE = "assay.correlation_id"
"""Carries the correlation id on spans, log events and audit records."""
AUDIT_HANDLER_ID = "assay.bridge.audit"

# As every instrumentation, for want of a public name.
SUPPRESS = otel_context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of one bus event.

    Args:
        recorders: Record it in instruments.
        log: Emits it as a log event.
        write: Writes it as an audit record.
    """

    recorders: tuple[Recorder, ...] = ()
    log: Log | None = None
    write: Write | None = None

    def __bool__(self) -> bool:
        return bool(self.recorders or self.log or self.write)


def plain_handler(telling: Telling) -> bus.Handler:
    """Return what handles an event that is no phase of a span."""
    recorders, log, write = telling.recorders, telling.log, telling.write

    def handle(
        event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
    ) -> None:
        context = otel_context.get_current()
        correlation_id = metadata.get("correlation_id")
        time = measurements.get("system_time") or time_ns()
        if not context.get(SUPPRESS):
            for recorder in recorders:
                recorder(measurements, metadata, context)
            if log is not None:
                log(measurements, metadata, context, time, correlation_id)
        if write is not None:
            write_record(write, event, measurements, metadata, time)

    return handle


def write_record(
    write: Write, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], time: int
) -> None:
    """Write an audit record. A failure is told as a handler's but trips no breaker: the next is tried too."""
    try:
        write(measurements, metadata, time, metadata.get("correlation_id"))
    except Exception as error:  # noqa: BLE001 - must break neither the emitter nor the span
        bus.report_failure(AUDIT_HANDLER_ID, event, error)
