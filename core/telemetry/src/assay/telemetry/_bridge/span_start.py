"""Generate the handlers that start a span and make it current."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from opentelemetry.trace import SpanKind, Tracer

from assay.semconv import attributes as names
from assay.semconv.catalogue import Span
from assay.telemetry import bus
from assay.telemetry._bridge.attributes import write_attributes, write_correlation
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.open_spans import OpenSpans, nearest_open, write_open_span
from assay.telemetry._bridge.reentrancy import deferring
from assay.telemetry._bridge.signals import Signals, handler_source, lazy_event_handler
from assay.telemetry._bridge.values import text
from assay.telemetry._otel_context import (
    OPEN_SPAN_KEY,
    PLAIN_SUPPRESS_KEY,
    SUPPRESS_KEY,
    attach,
    get_current,
)

LINKS = "links"
"""Metadata key of the links of a span: a list of `opentelemetry.trace.Link`, in the event that starts it."""


def start_handler(tracer: Tracer, span: Span, signals: Signals, spans: OpenSpans) -> bus.Handler:
    """Return the handler of the phase that starts a span.

    Args:
        tracer: Starts the span.
        span: The span's definition.
        signals: What else the event causes: inside the new span.
        spans: Keeps the span until its end.
    """
    source = handler_source("on_span_start")
    with deferring(source):
        source.define("outside", "outer", "time", "context")
        source.write(
            f"""
            outside = get_current()
            outer = outside.get(open_span_key)
            if outer is not None and outer.closed:
                outside = nearest_open(outside)
                outer = outside.get(open_span_key)
            key = metadata.get("telemetry_span_context")
            if key is None or outside.get(suppress_key) or outside.get({PLAIN_SUPPRESS_KEY!r}):
                handle_without_span(event, measurements, metadata, config)
                return
            time = measurements.get("system_time") or time_ns()
            """,
            get_current=get_current,
            open_span_key=OPEN_SPAN_KEY,
            nearest_open=nearest_open,
            suppress_key=SUPPRESS_KEY,
            handle_without_span=lazy_event_handler(signals),
            time_ns=time_ns,
        )
        write_start(source, tracer, span)
        source.write(
            f"""
            if key in open_spans or len(open_spans) >= {spans.limit}:
                make_room(key, open_span)
            open_spans[key] = open_span
            context = open_span.context
            attach(context)
            """,
            open_spans=spans.by_key,
            make_room=spans.make_room,
            attach=attach,
        )
        signals.write_audit_record(source)
        signals.write_telemetry(source, span)
    return source.build()


def write_start(source: Source, tracer: Tracer, span: Span) -> None:
    """Write the code that starts a span and makes its `open_span`.

    Args:
        source: A function with the variables `measurements`, `metadata`, `outside`, `outer` and `time`.
        tracer: Starts the span.
        span: The span's definition.
    """
    source.use("measurements", "metadata", "outside", "time")
    source.define("known", "span")
    source.write("known = {}")
    write_attributes(source, span.attributes, "known[{key}] = {value}")
    write_correlation(source, "known")
    name = _write_name(source, span)
    # By position, which is cheaper; the span's last event records the exception.
    source.write(
        f"span = start_span({name}, outside, kind, known, metadata.get({LINKS!r}, ()), time, False, False)",
        start_span=tracer.start_span,
        kind=SpanKind[span.kind.upper()],
    )
    write_open_span(source)


def _write_name(source: Source, span: Span) -> str:
    """Write the code that fills in the span's name; return the expression for it."""
    if not span.name:
        return repr(span.event)
    source.use("metadata")
    source.write(f"known[{names.ASSAY_SPAN_EVENT!r}] = {span.event!r}")
    return f"{source.bind('name_span', _namer(span))}(metadata)"


def _namer(span: Span) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that fills in the template of a span's name.

    A key that the event lacks is left out, with the spaces before it; if nothing is left, the name is the
    span's event.
    """
    parts = [(literal, key) for literal, key, _, _ in string.Formatter().parse(span.name)]

    def name_span(metadata: Mapping[str, Any]) -> str:
        name = ""
        for literal, key in parts:
            name += literal
            if key is not None:
                value = metadata.get(key)
                name = name.rstrip(" ") if value is None else name + text(value)
        return name.strip() or span.event

    return name_span
