from __future__ import annotations

import contextvars
import pickle

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from assay.instrumentation import carry_context, join_carried
from assay.telemetry import correlation
from assay.telemetry.ambient import correlation_id

PARENT = SpanContext(
    0x5B8E, 0x7A3F, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "1")])
)


def carried_from(context, own=None):
    outside = otel_context.get_current()
    otel_context.attach(context)
    try:
        return pickle.loads(pickle.dumps(carry_context(own)))
    finally:
        otel_context.attach(outside)


def test_trace_context_and_baggage_arrive():
    context = baggage.set_baggage(
        "shop.tenant", 17, trace.set_span_in_context(NonRecordingSpan(PARENT), Context())
    )
    carried = carried_from(context, "order-17")

    def joined():
        join_carried(carried)
        span = trace.get_current_span().get_span_context()
        assert (span.trace_id, span.span_id, span.trace_flags) == (0x5B8E, 0x7A3F, 1)
        assert span.is_remote
        assert span.trace_state.to_header() == "vendor=1"
        assert baggage.get_all() == {"shop.tenant": "17"}
        assert correlation_id.get() == "order-17"

    in_other_context(joined)


def test_the_context_of_this_process_is_replaced():
    carried = carried_from(Context())

    def joined():
        otel_context.attach(
            trace.set_span_in_context(NonRecordingSpan(PARENT), baggage.set_baggage("a", "b"))
        )
        join_carried(carried)
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert baggage.get_all() == {}

    in_other_context(joined)


def test_the_current_correlation_id_is_carried():
    with correlation("order-18"):
        assert carry_context().correlation_id == "order-18"


def in_other_context(function):
    contextvars.Context().run(function)
