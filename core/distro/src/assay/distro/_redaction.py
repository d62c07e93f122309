"""Redacts secrets in the spans and log records of other instrumentations and `logging` before their export.

The bus redacts its own events. `assay.telemetry.redaction` defines what a secret is. A span or log record
without one is returned as it is, not copied.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from assay.telemetry.redaction import redact, redact_metadata, redact_text


def redacted_span(span: ReadableSpan) -> ReadableSpan:
    """Return the span, or a copy if its name, attributes, events, links or status hold a secret."""
    name = redact_text(span.name)
    attributes = _attributes(span.attributes)
    events = _each(span.events, _event)
    links = _each(span.links, _link)
    status = _status(span.status)
    if name == span.name and attributes is None and events is None and links is None and status is None:
        return span
    # A copy, not a new span: upstream's constructor does not take the counts of dropped attributes.
    changed = copy.copy(span)
    for field, value in (
        ("_name", name),
        ("_attributes", attributes),
        ("_events", events),
        ("_links", links),
        ("_status", status),
    ):
        if value is not None:
            setattr(changed, field, value)
    return changed


def redacted_record(record: ReadableLogRecord) -> ReadableLogRecord:
    """Return the log record, or a copy if its body or attributes hold a secret."""
    log = record.log_record
    attributes = _attributes(log.attributes)
    body = redact(log.body)
    if attributes is None and body is log.body:
        return record
    changed = copy.copy(log)
    changed.body = body
    if attributes is not None:
        changed.attributes = attributes
    return dataclasses.replace(record, log_record=changed)


def _attributes(attributes: Mapping[str, Any] | None) -> Attributes | None:
    """Return the redacted attributes; None if they hold no secret."""
    if not attributes:
        return None
    redacted = redact_metadata(attributes)
    return None if redacted is attributes else dict(redacted)


def _event(event: Any) -> Any:  # noqa: ANN401 - upstream's type differs between versions
    attributes = _attributes(event.attributes)
    return event if attributes is None else Event(event.name, attributes, event.timestamp)


def _link(link: Link) -> Link:
    attributes = _attributes(link.attributes)
    return link if attributes is None else Link(link.context, attributes)


def _status(status: Status) -> Status | None:
    if not status.description:
        return None
    description = redact_text(status.description)
    return None if description == status.description else Status(status.status_code, description)


def _each(items: Sequence[Any], redacted: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - events or links
    results = tuple(redacted(item) for item in items)
    return None if all(new is old for new, old in zip(results, items, strict=True)) else results
