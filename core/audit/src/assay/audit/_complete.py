"""Completes records: empty fields from the context, the clock and a new id."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

from opentelemetry import trace

from assay.audit._actor import current_actor
from assay.audit._client import current_client
from assay.audit.record import AuditRecord
from assay.semconv import attributes as keys


def complete(record: AuditRecord) -> AuditRecord:
    """Return the record with its empty fields set from the context, the clock and a new id."""
    filled: dict[str, Any] = {}
    now = time.time_ns()
    if not record.actor_id:
        filled["actor_id"], filled["actor_type"] = current_actor()
    elif not record.actor_type:
        filled["actor_type"] = "user"
    if not record.time_unix_nano:
        filled["time_unix_nano"] = now
    if not record.observed_time_unix_nano:
        # The clock may have stepped back since the event happened.
        filled["observed_time_unix_nano"] = max(now, record.time_unix_nano)
    if not record.record_id:
        filled["record_id"] = str(uuid.uuid4())
    if not record.trace_id:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            filled["trace_id"] = span.trace_id.to_bytes(16, "big")
            filled["span_id"] = span.span_id.to_bytes(8, "big")
    client = current_client()
    if client.address and not record.source_id:
        filled["source_id"], filled["source_type"] = client.address, client.address_type
    if client.user_agent:
        filled["attributes"] = {keys.USER_AGENT_ORIGINAL: client.user_agent, **record.attributes}
    return replace(record, **filled)
