"""The correlation id of the running code, for events that carry none and have none in the baggage."""

from __future__ import annotations

from contextvars import ContextVar

correlation_id: ContextVar[str | None] = ContextVar("assay_correlation_id", default=None)
