"""Starting a span, and making it current."""

from __future__ import annotations

from time import time_ns

from opentelemetry.trace import SpanKind, Tracer

from assay.semconv.catalogue import Span
from assay.telemetry import bus
from assay.telemetry.attributes import write_attributes, write_correlation
from assay.telemetry.opened import OPENED_KEY, OpenSpans, living, write_opened
from assay.telemetry.runtime import SUPPRESS_KEY, attach, get_current
from assay.telemetry.source import Source
from assay.telemetry.telling import Telling, handler_source, rare_plain_handler


def opening_handler(tracer: Tracer, span: Span, telling: Telling, spans: OpenSpans) -> bus.Handler:
    """Return what handles the phase that starts a span.

    Args:
        tracer: Starts it.
        span: What it is.
        telling: What else is told of the event: within the new span.
        spans: Keeps it until its end.
    """
    source = handler_source("open_span")
    source.write(
        """
        outside = get_current()
        outer = outside.get(opened_key)
        if outer is not None and outer.closed:
            outside = living(outside)
            outer = outside.get(opened_key)
        key = metadata.get("telemetry_span_context")
        if key is None or outside.get(suppress):
            without_span(event, measurements, metadata, config)
            return
        time = measurements.get("system_time") or time_ns()
        """,
        get_current=get_current,
        opened_key=OPENED_KEY,
        living=living,
        suppress=SUPPRESS_KEY,
        without_span=rare_plain_handler(telling),
        time_ns=time_ns,
    )
    write_start(source, tracer, span)
    source.write(
        f"""
        if key in open_spans or len(open_spans) >= {spans.limit}:
            make_room(key)
        open_spans[key] = opened
        context = opened.context
        attach(context)
        """,
        open_spans=spans.by_key,
        make_room=spans.make_room,
        attach=attach,
    )
    telling.write(source, span)
    return source.build()


def write_start(source: Source, tracer: Tracer, span: Span) -> None:
    """Write what starts a span, and makes `opened` of it.

    Args:
        source: A function that knows `measurements`, `metadata`, `outside`, `outer` and `time`.
        tracer: Starts it.
        span: What it is.
    """
    source.write("known = {}")
    write_attributes(source, span.attributes, "known[{key}] = {value}")
    write_correlation(source, "known")
    # By position, which is cheaper; exceptions are told by the span's last event.
    source.write(
        f"span = start_span({span.event!r}, outside, kind, known, (), time, False, False)",
        start_span=tracer.start_span,
        kind=SpanKind[span.kind.upper()],
    )
    write_opened(source)
