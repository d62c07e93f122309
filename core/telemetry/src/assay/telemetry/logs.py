"""Bus events as log events of OpenTelemetry's Logs API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.context import Context

from assay.semconv.catalogue import Event
from assay.telemetry.plan import extractor

Log: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], Context, int, "str | None"], None]

_SEVERITIES: Mapping[str, tuple[SeverityNumber, str]] = {
    "debug": (SeverityNumber.DEBUG, "DEBUG"),
    "info": (SeverityNumber.INFO, "INFO"),
    "warning": (SeverityNumber.WARN, "WARN"),
    "error": (SeverityNumber.ERROR, "ERROR"),
    "critical": (SeverityNumber.FATAL, "FATAL"),
}


def log_emitter(logger: Logger, event: Event, correlation_attribute: str) -> Log:
    """Return what emits an event: called with measurements, metadata, context, Unix time (ns), correlation id."""
    number, text = _SEVERITIES[event.severity]
    name, body, extract, emit = event.name, event.body or event.name, extractor(event.attributes), logger.emit

    def log(
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        context: Context,
        timestamp: int,
        correlation_id: str | None,
    ) -> None:
        attributes: dict[str, Any] = {}
        extract(measurements, metadata, attributes)
        if correlation_id is not None:
            attributes[correlation_attribute] = correlation_id
        emit(
            timestamp=timestamp,
            observed_timestamp=timestamp,
            context=context,
            severity_number=number,
            severity_text=text,
            body=body,
            attributes=attributes,
            event_name=name,
        )

    return log
