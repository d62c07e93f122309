"""Generate the handlers that end a span: with what its last event carries, and with its error if it has one.

The end of the span and the restoration of the context come first, and happen whatever else fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any, Final, Literal

from opentelemetry.trace import Span as OTelSpan
from opentelemetry.trace import Status, StatusCode, Tracer

from assay.semconv.catalogue import Span
from assay.telemetry import bus
from assay.telemetry._bridge.attributes import extractor, write_attributes
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.open_spans import OpenSpan, OpenSpans, leave, write_leave
from assay.telemetry._bridge.reentrancy import deferring
from assay.telemetry._bridge.signals import Signals, handler_source, lazy_event_handler
from assay.telemetry._bridge.span_start import write_start
from assay.telemetry._bridge.values import nanoseconds, text
from assay.telemetry._otel_context import PLAIN_SUPPRESS_KEY, SUPPRESS_KEY, get_current
from assay.telemetry.spans import qualified_name

OTHER_ERROR = "_OTHER"
"""OpenTelemetry's `error.type` of an error without a type."""
STACKTRACE_LIMIT = 16_384
"""Characters that are kept of a stack trace: its end, where the error is. It is cut after redaction."""
EXCEPTION_OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
"""`logs` records exceptions in log events only, `logs/dup` in both, any other value on spans only."""

IGNORED: Final = object.__new__(OpenSpan)
"""The span of an end event that causes nothing: a forked child's, whose parent ends the span."""


def end_handler(tracer: Tracer, span: Span, phase: str, signals: Signals, spans: OpenSpans) -> bus.Handler:
    """Return the handler of a phase that ends a span.

    Args:
        tracer: Starts the span where only its end is emitted.
        span: The span's definition.
        phase: The phase.
        signals: What else the event causes: inside the span.
        spans: Has the open span.
    """
    is_failure = phase in span.exceptions
    source = handler_source("on_span_end")
    with deferring(source):
        _write_take(source, tracer, span, signals, spans, is_failure=is_failure)
        _write_time(source)
        write_leave(source)
        with source.block("try"):
            _write_last_attributes(source, span, phase)
        with source.block("finally"):
            with source.block("try"):
                source.write("span.end(time)")
            with source.block("finally"):
                signals.write_audit_record(source)
                extra = _write_exception(source) if is_failure and _records_exceptions("logs") else ""
                signals.write_telemetry(source, span, extra)
    return source.build()


def _write_take(  # noqa: PLR0913 - as end_handler
    source: Source, tracer: Tracer, span: Span, signals: Signals, spans: OpenSpans, *, is_failure: bool
) -> None:
    """Write the code that finds the open span, makes it for a lone end, or handles the event without one."""
    if is_failure:
        source.write("metadata = complete_error(metadata)", complete_error=_complete_error)
    source.define("open_span", "key")
    source.write(
        """
        key = metadata.get("telemetry_span_context")
        open_span = take(key, None)
        if open_span is None:
            open_span = find(key, measurements, metadata)
            if open_span is ignored:
                return
            if open_span is None:
                handle_without_span(event, measurements, metadata, config)
                return
        elif open_span.shadowed is not None:
            open_spans[key] = open_span.shadowed
        """,
        take=spans.by_key.pop,
        open_spans=spans.by_key,
        find=_finder(tracer, span, spans),
        ignored=IGNORED,
        handle_without_span=lazy_event_handler(signals),
    )


def _write_time(source: Source) -> None:
    """Write the code that sets the end's `time`: the start's plus `duration`."""
    source.use("open_span", "measurements")
    source.define("time", "context", "span", "known")
    duration = source.name("duration")
    source.write(
        f"""
        {duration} = measurements.get("duration")
        if {duration}.__class__ is not int:
            {duration} = nanoseconds({duration})
        time = time_ns() if {duration} is None else open_span.start_time + {duration}
        context = open_span.context
        span = open_span.span
        known = open_span.attributes if metadata is open_span.metadata else None
        """,
        nanoseconds=nanoseconds,
        time_ns=time_ns,
    )


def _write_last_attributes(source: Source, span: Span, phase: str) -> None:
    """Write the code that sets what the last event adds to the span."""
    source.use("span", "known", "open_span", "measurements", "metadata")
    # None for a span that is not sampled.
    with source.block("if span.is_recording()"):
        if phase in span.exceptions:
            source.write("fail(open_span, metadata)", fail=_fail)
        with source.block("if known is None"):  # the event adds metadata
            source.write(
                "add_changes(span, open_span.attributes, measurements, metadata)", add_changes=_changes(span)
            )
        # One by one, which is cheaper than set_attributes for a few.
        source.write("set_attribute = span.set_attribute")
        write_attributes(source, span.set_at(phase), "set_attribute({key}, {value})")


def _changes(span: Span) -> Callable[..., None]:
    """Return a function that sets the attributes whose values differ from those at the span's start."""
    extract = extractor(span.attributes)

    def add_changes(
        otel_span: OTelSpan,
        known: Mapping[str, Any],
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> None:
        attributes: dict[str, Any] = {}
        extract(measurements, metadata, attributes)
        for key, value in attributes.items():
            if known.get(key) != value:
                otel_span.set_attribute(key, value)

    return add_changes


def _finder(
    tracer: Tracer, span: Span, spans: OpenSpans
) -> Callable[[Any, Mapping[str, Any], Mapping[str, Any]], OpenSpan | None]:
    """Return a function that finds the span of an end event whose start is not open.

    It returns `IGNORED` for a span that the parent process ends; None for one that was ended for lack of this
    event, or whose event carries no duration; else a new span that began `duration` ago and is never current.
    """
    make = _maker(tracer, span)

    def find(key: Any, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> OpenSpan | None:  # noqa: ANN401 - a hashable
        inherited = spans.inherited.pop(key, None)
        if inherited is not None:
            leave(inherited)
            return IGNORED
        if key in spans.evicted:
            del spans.evicted[key]
            return None
        context, duration = get_current(), nanoseconds(measurements.get("duration"))
        if duration is None or context.get(SUPPRESS_KEY) or context.get(PLAIN_SUPPRESS_KEY):
            return None
        return make(measurements, metadata, context, time_ns() - duration)

    return find


def _maker(tracer: Tracer, span: Span) -> Callable[..., OpenSpan]:
    source = Source("make_span", "measurements", "metadata", "outside", "time")
    source.define("outer")
    source.write("outer = None")
    write_start(source, tracer, span)
    source.write("return open_span")
    return source.build()


def _complete_error(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata with `error_type` and `error_message`."""
    reason = metadata.get("reason")
    kind = metadata.get("error_type") or metadata.get("kind")
    if not kind:
        kind = qualified_name(type(reason)) if isinstance(reason, BaseException) else OTHER_ERROR
    message = metadata.get("error_message")
    if message is None and reason is not None:
        message = text(reason)
    return {**metadata, "error_type": kind, "error_message": message}


def _fail(open_span: OpenSpan, metadata: Mapping[str, Any]) -> None:
    """Set the span's error, and record its exception unless a span inside has recorded the same one."""
    message = metadata["error_message"]
    open_span.span.set_status(Status(StatusCode.ERROR, text(message) if message else None))
    open_span.span.set_attribute("error.type", text(metadata["error_type"]))
    failure = text(metadata.get("kind") or metadata["error_type"]), text(metadata.get("reason"))
    if metadata.get("stacktrace") and open_span.failure != failure and _records_exceptions("spans"):
        open_span.span.add_event("exception", _describe_exception(metadata))
    if open_span.outer is not None:
        open_span.outer.failure = failure


def _describe_exception(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of an exception (semantic conventions, "Exceptions"); none if there is none."""
    stacktrace = metadata.get("stacktrace")
    if not stacktrace:
        return {}
    return {
        "exception.type": text(metadata.get("kind") or metadata["error_type"]),
        "exception.message": text(metadata.get("reason")),
        "exception.stacktrace": str(stacktrace)[-STACKTRACE_LIMIT:],
    }


def _write_exception(source: Source) -> str:
    """Write the code that makes the exception's attributes for the log event; return their variable."""
    source.define("exception")
    source.write("exception = describe_exception(metadata)", describe_exception=_describe_exception)
    return "exception"


def _records_exceptions(where: Literal["spans", "logs"]) -> bool:
    """Return whether exceptions are recorded there (semantic conventions, "Exceptions", migration plan)."""
    chosen = {part.strip() for part in os.environ.get(EXCEPTION_OPT_IN, "").split(",")}
    if where == "logs":
        return not chosen.isdisjoint({"logs", "logs/dup"})
    return "logs/dup" in chosen or "logs" not in chosen
