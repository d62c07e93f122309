"""Ending a span: with what its last event says, and with its error if it had one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from opentelemetry.trace import Span as OpenedSpan
from opentelemetry.trace import Status, StatusCode, Tracer

from assay.semconv.catalogue import Span
from assay.telemetry import bus
from assay.telemetry.attributes import extractor, write_attributes
from assay.telemetry.opened import Opened, OpenSpans, write_leaving
from assay.telemetry.opening import write_start
from assay.telemetry.runtime import SUPPRESS_KEY, get_current
from assay.telemetry.source import Source
from assay.telemetry.spans import qualified_name
from assay.telemetry.telling import Telling, handler_source, rare_plain_handler
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
    source = handler_source("close_span")
    source.write(
        f"""
        opened = take(metadata.get("telemetry_span_context"), None) or reopen(measurements, metadata)
        {"metadata = fail(opened, metadata)" if is_failure else ""}
        if opened is None:
            without_span(event, measurements, metadata, config)
            return
        # By its own clock, so that its length is its duration.
        duration = measurements.get("duration")
        if duration.__class__ is int:
            time = opened.start_time + duration
        else:
            time = time_ns() if duration is None else opened.start_time + int(duration)
        context = opened.context
        span = opened.span
        known = opened.attributes
        if metadata is not opened.metadata:  # more was learnt on the way
            add_learnt(span, known, measurements, metadata)
            known = None
        """,
        take=spans.by_key.pop,
        reopen=_reopener(tracer, span),
        fail=_fail,
        without_span=rare_plain_handler(telling),
        time_ns=time_ns,
        add_learnt=_learner(span),
    )
    telling.write(source, span)
    source.write("set_attribute = span.set_attribute")
    # Attributes one by one, which is cheaper than set_attributes for a few.
    write_attributes(source, span.stop_attributes, "set_attribute({key}, {value})")
    source.write("span.end(time)")
    write_leaving(source)
    return source.build()


def _learner(span: Span) -> Callable[..., None]:
    """Return what gives an open span the attributes that are not what they were when it started."""
    extract = extractor(span.attributes)

    def add_learnt(
        opened: OpenedSpan,
        known: Mapping[str, Any],
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> None:
        attributes: dict[str, Any] = {}
        extract(measurements, metadata, attributes)
        for key, value in attributes.items():
            if known.get(key) != value:
                opened.set_attribute(key, value)

    return add_learnt


def _reopener(tracer: Tracer, span: Span) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Opened | None]:
    """Return what makes the span of an end whose start was not told, begun as long ago as it took.

    It is never current. An end that does not say how long it took has none.
    """
    source = Source("reopen", "measurements", "metadata")
    source.write(
        """
        outside = get_current()
        duration = measurements.get("duration")
        if duration is None or outside.get(suppress):
            return None
        outer = None
        time = time_ns() - int(duration)
        """,
        get_current=get_current,
        suppress=SUPPRESS_KEY,
        time_ns=time_ns,
    )
    write_start(source, tracer, span)
    source.write("return opened")
    return source.build()


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
