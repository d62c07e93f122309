"""Redacts baggage and trace state before they leave the process with a request."""

from __future__ import annotations

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from assay.distro._redaction import redacted_context
from assay.telemetry.redaction import redact_metadata


class RedactingPropagator(TextMapPropagator):
    """Injects a context without the secrets in its baggage and its trace state, and extracts what arrives.

    Args:
        propagator: Writes and reads the headers.
    """

    def __init__(self, propagator: TextMapPropagator) -> None:
        self._propagator = propagator

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context that a carrier's headers describe."""
        return self._propagator.extract(carrier, context, getter)

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the headers of a context into a carrier."""
        self._propagator.inject(carrier, _redacted_trace_state(_redacted_baggage(context)), setter)

    @property
    def fields(self) -> set[str]:
        """The names of the headers."""
        return self._propagator.fields


def install() -> None:
    """Make the global propagator redact."""
    propagate.set_global_textmap(RedactingPropagator(propagate.get_global_textmap()))


def _redacted_baggage(context: Context | None) -> Context | None:
    entries = baggage.get_all(context)
    clean = redact_metadata(entries)
    if clean is entries:
        return context
    context = baggage.clear(context)
    for name, value in clean.items():
        context = baggage.set_baggage(name, value, context)
    return context


def _redacted_trace_state(context: Context | None) -> Context | None:
    span_context = trace.get_current_span(context).get_span_context()
    clean = redacted_context(span_context)
    if clean is span_context:
        return context
    return trace.set_span_in_context(trace.NonRecordingSpan(clean), context)
