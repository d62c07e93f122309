"""Bus events as log events of OpenTelemetry's Logs API."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry._logs import Logger, LogRecord, SeverityNumber

from assay.semconv.catalogue import Event, Span
from assay.telemetry.attributes import write_attributes, write_correlation
from assay.telemetry.source import Source

_SEVERITIES: Mapping[str, tuple[SeverityNumber, str]] = {
    "debug": (SeverityNumber.DEBUG, "DEBUG"),
    "info": (SeverityNumber.INFO, "INFO"),
    "warning": (SeverityNumber.WARN, "WARN"),
    "error": (SeverityNumber.ERROR, "ERROR"),
    "critical": (SeverityNumber.FATAL, "FATAL"),
}

_STATEMENT = "told[{key}] = {value}"


def write_log(source: Source, logger: Logger, event: Event, span: Span | None = None) -> None:
    """Write what emits an event, in a function that knows `measurements`, `metadata`, `context` and `time`.

    Args:
        source: The function.
        logger: Takes the log events.
        event: What is emitted.
        span: The span that it is part of: the function knows as `known` the attributes that it got from the
            same metadata, correlation id included, or None.
    """
    if span is not None and set(span.attributes) <= set(event.attributes):
        with source.block("if known is not None"):
            source.write("told = known.copy()")
            write_attributes(source, (a for a in event.attributes if a not in span.attributes), _STATEMENT)
        with source.block("else"):
            _write_all(source, event)
    else:
        _write_all(source, event)
    number, text = _SEVERITIES[event.severity]
    source.write(
        f"""
        emit(
            LogRecord(
                timestamp=time,
                observed_timestamp=time,
                context=context,
                severity_number=severity,
                severity_text={text!r},
                body={event.body or event.name!r},
                attributes=told,
                event_name={event.name!r},
            )
        )
        """,
        emit=logger.emit,
        LogRecord=LogRecord,
        severity=number,
    )


def _write_all(source: Source, event: Event) -> None:
    source.write("told = {}")
    write_attributes(source, event.attributes, _STATEMENT)
    write_correlation(source, "told")
