"""Starting a span, and making it current."""

from __future__ import annotations

from collections.abc import Mapping
from time import time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, Tracer

from assay.semconv.catalogue import Span
from assay.telemetry import bus
from assay.telemetry.opened import OPENED_KEY, Opened, OpenSpans, living
from assay.telemetry.plan import extractor
from assay.telemetry.telling import CORRELATION_ATTRIBUTE, SUPPRESS, Telling, plain_handler, write_record


def opening_handler(tracer: Tracer, span: Span, telling: Telling, spans: OpenSpans) -> bus.Handler:
    """Return what handles the phase that starts a span.

    Args:
        tracer: Starts it.
        span: What it is.
        telling: What else is told of the event: within the new span.
        spans: Keeps it until its end.
    """
    start_span, name, kind = tracer.start_span, span.event, SpanKind[span.kind.upper()]
    recorders, log, write = telling.recorders, telling.log, telling.write
    extract, keep = extractor(span.attributes), spans.add
    get_current, enter = otel_context.get_current, otel_context.attach
    without_span = plain_handler(telling)

    def handle(
        event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: object
    ) -> None:
        outside = get_current()
        if OPENED_KEY in outside and outside[OPENED_KEY].closed:  # type: ignore[attr-defined] # ours
            outside = living(outside)
        key = metadata.get("telemetry_span_context")
        if key is None or outside.get(SUPPRESS):
            without_span(event, measurements, metadata, config)
            return
        attributes: dict[str, Any] = {}
        extract(measurements, metadata, attributes)
        correlation_id = metadata.get("correlation_id")
        if correlation_id is not None:
            attributes[CORRELATION_ATTRIBUTE] = correlation_id
        time = measurements.get("system_time") or time_ns()
        # By position, which is cheaper; exceptions are told by the span's last event.
        started = start_span(name, outside, kind, attributes, (), time, False, False)
        opened = Opened(started, outside, time, metadata, attributes)
        keep(key, opened)
        context = opened.context
        enter(context)
        for recorder in recorders:
            recorder(measurements, metadata, context)
        if log is not None:
            log(measurements, metadata, context, time, correlation_id, attributes)
        if write is not None:
            write_record(write, event, measurements, metadata, time)

    return handle
