"""Bus events as log events of OpenTelemetry's Logs API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context

from assay.semconv.catalogue import Attribute, Event
from assay.telemetry.plan import extractor

_SEVERITIES: Mapping[str, tuple[SeverityNumber, str]] = {
    "debug": (SeverityNumber.DEBUG, "DEBUG"),
    "info": (SeverityNumber.INFO, "INFO"),
    "warning": (SeverityNumber.WARN, "WARN"),
    "error": (SeverityNumber.ERROR, "ERROR"),
    "critical": (SeverityNumber.FATAL, "FATAL"),
}


class Log(Protocol):
    """Emits one kind of log event."""

    def __call__(  # noqa: PLR0913, PLR0917 - one to a field; by position, because it is called for each event
        self,
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        context: Context,
        timestamp: int,
        correlation_id: str | None,
        known: dict[str, Any] | None = None,
        /,
    ) -> None:
        """Emit it.

        Args:
            measurements: The bus event's.
            metadata: The bus event's.
            context: Holds the span that it belongs to.
            timestamp: Unix time in nanoseconds.
            correlation_id: The bus event's.
            known: The attributes that its span got from the same metadata, correlation id included.
        """


def log_emitter(
    logger: Logger, event: Event, correlation_attribute: str, span_attributes: tuple[Attribute, ...] = ()
) -> Log:
    """Return what emits an event.

    Args:
        logger: Takes the log events.
        event: What is emitted.
        correlation_attribute: Carries the correlation id.
        span_attributes: What its span has got at the start.
    """
    number, text = _SEVERITIES[event.severity]
    name, body, emit = event.name, event.body or event.name, logger.emit
    extract = extractor(event.attributes)
    shares = bool(span_attributes) and set(span_attributes) <= set(event.attributes)
    extract_rest = extractor(a for a in event.attributes if a not in span_attributes)

    def log(  # noqa: PLR0913, PLR0917 - as in the protocol
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        context: Context,
        timestamp: int,
        correlation_id: str | None,
        known: dict[str, Any] | None = None,
        /,
    ) -> None:
        if known is not None and shares:
            attributes = known.copy()
            extract_rest(measurements, metadata, attributes)
        else:
            attributes: dict[str, Any] = {}
            extract(measurements, metadata, attributes)
            if correlation_id is not None:
                attributes[correlation_attribute] = correlation_id
        emit(
            LogRecord(
                timestamp=timestamp,
                observed_timestamp=timestamp,
                context=context,
                severity_number=number,
                severity_text=text,
                body=body,
                attributes=attributes,
                event_name=name,
            )
        )

    return log
