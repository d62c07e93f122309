"""The surroundings of the running code: OpenTelemetry's context, and the correlation id.

The functions do the same as OpenTelemetry's, and cost less: instrumentations call them at each operation.
"""

from __future__ import annotations

from contextvars import ContextVar

from assay.telemetry._otel_context import PLAIN_SUPPRESS_KEY, SUPPRESS_KEY
from assay.telemetry._otel_context import attach as attach_context
from assay.telemetry._otel_context import get_current as current_context

__all__ = ["attach_context", "correlation_id", "current_context", "is_suppressed"]

correlation_id: ContextVar[str | None] = ContextVar("assay_correlation_id", default=None)
"""The correlation id of the running code, for events that carry none and have none in the baggage."""


def is_suppressed() -> bool:
    """Return whether instrumentation is suppressed here, as by upstream's `suppress_instrumentation`."""
    context = current_context()
    return bool(context.get(SUPPRESS_KEY) or context.get(PLAIN_SUPPRESS_KEY))
