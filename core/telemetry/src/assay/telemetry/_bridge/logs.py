"""Generate the code that emits a bus event as a log event of OpenTelemetry's Logs API."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry._logs import Logger, LogRecord, SeverityNumber

from assay.semconv.catalogue import Event, Span
from assay.telemetry._bridge.attributes import write_attributes, write_correlation
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.conditions import condition_head

_SEVERITIES: Mapping[str, tuple[SeverityNumber, str]] = {
    "debug": (SeverityNumber.DEBUG, "DEBUG"),
    "info": (SeverityNumber.INFO, "INFO"),
    "warning": (SeverityNumber.WARN, "WARN"),
    "error": (SeverityNumber.ERROR, "ERROR"),
    "critical": (SeverityNumber.FATAL, "FATAL"),
}


def write_log(
    source: Source, logger: Logger, event: Event, span: Span | None = None, extra: str = ""
) -> None:
    """Write the code that emits a log event.

    Args:
        source: A function with the variables `measurements`, `metadata`, `context` and `time`.
        logger: Emits the log events.
        event: The log event.
        span: The span that the event is a phase of. The function then has the variable `known`: the
            attributes that the span got from the same metadata, correlation id included, or None.
        extra: Variable with further attributes, or None.
    """
    if event.when:
        with source.block(condition_head(source, event.when)):
            _write_log(source, logger, event, span, extra)
    else:
        _write_log(source, logger, event, span, extra)


def _write_log(source: Source, logger: Logger, event: Event, span: Span | None, extra: str) -> None:
    source.use("context", "time")
    source.write("", severity=_SEVERITIES[event.severity][0])
    enabled = getattr(logger, "enabled", None)  # not in the oldest supported API
    if enabled is None:
        _write_record(source, logger, event, span, extra)
        return
    source.write("", enabled=enabled)
    with source.block(f"if enabled(context=context, severity_number=severity, event_name={event.name!r})"):
        _write_record(source, logger, event, span, extra)


def _write_record(source: Source, logger: Logger, event: Event, span: Span | None, extra: str) -> None:
    """Write the code that makes the log record and emits it."""
    attributes = source.name("attributes")
    source.define(attributes)
    statement = attributes + "[{key}] = {value}"
    if span is not None and set(span.attributes) <= set(event.attributes):
        source.use("known")
        with source.block("if known is not None"):
            source.write(f"{attributes} = known.copy()")
            write_attributes(source, (a for a in event.attributes if a not in span.attributes), statement)
        with source.block("else"):
            _write_all(source, event, attributes, statement)
    else:
        _write_all(source, event, attributes, statement)
    if extra:
        source.use(extra)
        source.write(f"if {extra}:\n    {attributes}.update({extra})")
    source.write(
        f"""
        emit(
            LogRecord(
                timestamp=time,
                observed_timestamp=time,
                context=context,
                severity_number=severity,
                severity_text={_SEVERITIES[event.severity][1]!r},
                body={event.body or event.name!r},
                attributes={attributes},
                event_name={event.name!r},
            )
        )
        """,
        emit=logger.emit,
        LogRecord=LogRecord,
    )


def _write_all(source: Source, event: Event, attributes: str, statement: str) -> None:
    source.write(f"{attributes} = {{}}")
    write_attributes(source, event.attributes, statement)
    write_correlation(source, attributes)
