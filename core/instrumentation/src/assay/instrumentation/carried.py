"""The context of an operation on its way to another process that unpickles it, such as a worker of a pool.

```python
queue.put((function, carry_context()))  # in the parent
...
join_carried(carried)  # in the child, before it calls the function
```

Objects cost less than the texts that `prepare_child` makes, which a child can find in its environment.
"""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from assay.telemetry.ambient import correlation_id as ambient_correlation_id


class CarriedContext(NamedTuple):
    """The trace context, baggage and correlation id of an operation. It can be pickled.

    Args:
        trace_id: Id of the trace; 0 if no span is current.
        span_id: Id of the current span.
        flags: Its trace flags (W3C Trace Context, section 3.2.2.5).
        trace_state: Its `tracestate` header; empty for none.
        baggage: The baggage; values that are not texts become texts.
        correlation_id: The correlation id; None for none.
    """

    trace_id: int
    span_id: int
    flags: int
    trace_state: str
    baggage: dict[str, str]
    correlation_id: str | None


def carry_context(correlation_id: str | None = None) -> CarriedContext:
    """Return the current context.

    Args:
        correlation_id: Correlation id of the operation; None is the current one, if there is one.
    """
    context = otel_context.get_current()
    span = trace.get_current_span(context).get_span_context()
    entries = baggage.get_all(context)
    return CarriedContext(
        span.trace_id,
        span.span_id,
        int(span.trace_flags),
        span.trace_state.to_header() if span.trace_state else "",
        {key: str(value) for key, value in entries.items()} if entries else {},
        ambient_correlation_id.get() if correlation_id is None else correlation_id,
    )


def join_carried(carried: CarriedContext) -> None:
    """Replace this thread's context by one that was carried here."""
    context = Context()
    if carried.trace_id:
        state = TraceState.from_header([carried.trace_state]) if carried.trace_state else None
        span = SpanContext(
            carried.trace_id, carried.span_id, is_remote=True,
            trace_flags=TraceFlags(carried.flags), trace_state=state,
        )  # fmt: skip
        context = trace.set_span_in_context(NonRecordingSpan(span), context)
    for key, value in carried.baggage.items():
        context = baggage.set_baggage(key, value, context)
    otel_context.attach(context)
    ambient_correlation_id.set(carried.correlation_id)
