"""A run's trace: W3C Trace Context in the run's tags, which every process that touches the run can read.

The tags are set when the run is created, with the span of the request as the parent of the run. A
`traceparent` that the user gives by tag stays. A run that executes another again does not inherit its trace:
it has one of its own, which is linked to the first.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assay.instrumentation import Foreign, guarded
from assay.semconv import attributes as keys

PARENT_TAG = "traceparent"
REEXECUTION_OF, RETRY_OF = "reexecution_of", "retry_of"
"""Values of a link's attribute `flowstone.relation`."""
TAGS = (PARENT_TAG, "tracestate", "baggage")
# Always W3C's formats: the processes of a run need not agree on a propagator for requests to others.
_propagator = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_trace_only = TraceContextTextMapPropagator()


def with_current(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a new run's tags with the current context, unless the user gave a parent or there is no span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    if PARENT_TAG in tags or PARENT_TAG not in carrier:
        return dict(tags)
    return {**tags, **carrier}


def without_inherited(tags: Mapping[str, str], parent_tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a new run without the trace that Dagster copied from its parent run."""
    if tags.get(PARENT_TAG) != parent_tags.get(PARENT_TAG):
        return dict(tags)
    return {key: value for key, value in tags.items() if key not in TAGS}


def context_of(tags: Mapping[str, str]) -> Context:
    """Return the context of a run's tags; the current one if it is in the same trace, or without tags."""
    current = otel_context.get_current()
    carrier = {key: tags[key] for key in TAGS if key in tags}
    if PARENT_TAG not in carrier:
        return current
    given = _propagator.extract(carrier, current)
    parent, here = (trace.get_current_span(each).get_span_context() for each in (given, current))
    return current if here.is_valid and here.trace_id == parent.trace_id else given


@contextmanager
def joined(tags: Mapping[str, str]) -> Generator[None]:
    """Make a run's trace current for the block."""
    token = otel_context.attach(context_of(tags))
    try:
        yield
    finally:
        otel_context.detach(token)


def context_in(tags: Mapping[str, str] | None) -> trace.SpanContext | None:
    """Return the span context in the tags of a run or of an event; None if they have none."""
    if not tags or PARENT_TAG not in tags:
        return None
    carrier: dict[str, Any] = {key: tags[key] for key in TAGS if key in tags}
    found = trace.get_current_span(_trace_only.extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


@guarded
def mark(event: Foreign, span: trace.Span) -> None:
    """Add a span's context to the tags of a Dagster event that has not been stored yet."""
    _trace_only.inject(event.logging_tags, trace.set_span_in_context(span, Context()))


def links_to(dagster_run: Foreign, relation: str = REEXECUTION_OF) -> list[trace.Link]:
    """Return the link to the trace of an earlier run; empty if there is none, or it has no trace.

    Args:
        dagster_run: The earlier run, or None.
        relation: `reexecution_of` or `retry_of`.
    """
    linked = None if dagster_run is None else context_in(dagster_run.tags)
    if linked is None:
        return []
    described = {keys.FLOWSTONE_RELATION: relation, keys.FLOWSTONE_RUN_ID: dagster_run.run_id}
    return [trace.Link(linked, described)]
