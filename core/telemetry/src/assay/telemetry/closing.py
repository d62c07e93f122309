"""Ending a span: with what its last event says, and with its error if it had one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from assay.semconv.catalogue import Span
from assay.telemetry import bus
from assay.telemetry.opened import Opened, OpenSpans
from assay.telemetry.plan import extractor
from assay.telemetry.spans import qualified_name
from assay.telemetry.telling import CORRELATION_ATTRIBUTE, SUPPRESS, Telling, plain_handler, write_record
from assay.telemetry.values import text

OTHER_ERROR = "_OTHER"
"""OpenTelemetry's `error.type` of an error that has no name."""
STACKTRACE_LIMIT = 16_384
"""Characters kept of a stack trace: its end, where the error is. Cut after redaction, never before."""


def closing_handler(
    tracer: Tracer, span: Span, telling: Telling, spans: OpenSpans, *, is_failure: bool
) -> bus.Handler:
    """Return what handles a phase that ends a span.

    Args:
        tracer: Starts the span where only its end is told.
        span: What it is.
        telling: What else is told of the event: within the span.
        spans: Has it.
        is_failure: The phase ends it with an error.
    """
    recorders, log, write = telling.recorders, telling.log, telling.write
    extract, extract_start = extractor(span.stop_attributes), extractor(span.attributes)
    take, fail = spans.take, _fail if is_failure else None
    reopen, without_span = _reopener(tracer, span), plain_handler(telling)

    def handle(
        event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: object
    ) -> None:
        opened = take(metadata.get("telemetry_span_context"), None) or reopen(measurements, metadata)
        if fail is not None:
            metadata = fail(opened, metadata)
        if opened is None:
            without_span(event, measurements, metadata, config)
            return
        # By its own clock, so that its length is its duration.
        time = opened.start_time + int(measurements["duration"]) if "duration" in measurements else time_ns()
        context, known = opened.context, opened.attributes
        attributes: dict[str, Any] = {}
        if metadata is not opened.metadata:  # more was learnt on the way
            extract_start(measurements, metadata, attributes)
            attributes = {key: value for key, value in attributes.items() if known.get(key) != value}
            known = None
        for recorder in recorders:
            recorder(measurements, metadata, context)
        if log is not None:
            log(measurements, metadata, context, time, metadata.get("correlation_id"), known)
        if write is not None:
            write_record(write, event, measurements, metadata, time)
        extract(measurements, metadata, attributes)
        ended = opened.span
        for key, value in attributes.items():  # one by one is cheaper than set_attributes, for a few
            ended.set_attribute(key, value)
        ended.end(time)
        opened.leave()

    return handle


def _reopener(tracer: Tracer, span: Span) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Opened | None]:
    """Return what makes the span of an end whose start was not told, begun as long ago as it took.

    It is never current. An end that does not say how long it took has none.
    """
    extract, kind = extractor(span.attributes), SpanKind[span.kind.upper()]

    def reopen(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> Opened | None:
        context = otel_context.get_current()
        if "duration" not in measurements or context.get(SUPPRESS):
            return None
        attributes: dict[str, Any] = {}
        extract(measurements, metadata, attributes)
        correlation_id = metadata.get("correlation_id")
        if correlation_id is not None:
            attributes[CORRELATION_ATTRIBUTE] = correlation_id
        time = time_ns() - int(measurements["duration"])
        started = tracer.start_span(
            span.event, context=context, kind=kind, attributes=attributes, start_time=time
        )
        return Opened(started, context, time, metadata, attributes)

    return reopen


def _fail(opened: Opened | None, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a span its error; return metadata that has it as `error_type` and `error_message`."""
    metadata = _explain(metadata)
    if opened is not None:
        message = metadata["error_message"]
        opened.span.set_status(Status(StatusCode.ERROR, text(message) if message else None))
        opened.span.set_attribute("error.type", text(metadata["error_type"]))
        if metadata.get("reason") is not None:
            opened.span.add_event("exception", _describe(metadata))
    return metadata


def _explain(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    reason = metadata.get("reason")
    kind = metadata.get("error_type") or metadata.get("kind")
    if not kind:
        kind = qualified_name(type(reason)) if isinstance(reason, BaseException) else OTHER_ERROR
    message = metadata.get("error_message")
    if message is None and reason is not None:
        message = text(reason)
    return {**metadata, "error_type": kind, "error_message": message}


def _describe(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the exception's attributes (semantic conventions, "Exceptions on spans")."""
    attributes = {
        "exception.type": text(metadata.get("kind") or metadata["error_type"]),
        "exception.message": text(metadata["reason"]),
    }
    stacktrace = metadata.get("stacktrace")
    if stacktrace:
        attributes["exception.stacktrace"] = str(stacktrace)[-STACKTRACE_LIMIT:]
    return attributes
