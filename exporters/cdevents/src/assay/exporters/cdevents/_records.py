"""Read the log events and ended spans of an OTLP request as plain values, for the mapping rules."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from assay.semconv import attributes

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
_SAMPLED = 0x01
_FLAGS = 0xFF


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A log event or an ended span, from which CDEvents are made.

    Args:
        name: The log event's name, or the registry's name of the span: its attribute `assay.span.event`, and
            without that attribute the span's own name.
        attributes: The attributes of the log event or span.
        resource: The attributes of the resource.
        start: Start of the span, or time of the log event, in Unix nanoseconds.
        end: End of the span, or time of the log event, in Unix nanoseconds.
        trace_id: Hexadecimal, or empty.
        span_id: Hexadecimal, or empty.
        flags: W3C trace flags.
        span: Whether the record is a span.
    """

    name: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    start: int
    end: int
    trace_id: str = ""
    span_id: str = ""
    flags: int = 0
    span: bool = False

    @property
    def traceparent(self) -> str:
        """The W3C trace context, or empty if the record belongs to no span."""
        if not (self.trace_id and self.span_id):
            return ""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags & _FLAGS:02x}"


def log_events(request: ExportLogsServiceRequest, received: int) -> Iterator[SourceRecord]:
    """Yield the log records that have an event name.

    Args:
        request: An OTLP request.
        received: Unix nanoseconds; the time of a record that has none.
    """
    for resource_logs in request.resource_logs:
        resource = attribute_values(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for log in scope_logs.log_records:
                if log.event_name:
                    time = log.time_unix_nano or log.observed_time_unix_nano or received
                    yield SourceRecord(
                        name=log.event_name,
                        attributes=attribute_values(log.attributes),
                        resource=resource,
                        start=time,
                        end=time,
                        trace_id=_identifier(log.trace_id, TRACE_ID_BYTES),
                        span_id=_identifier(log.span_id, SPAN_ID_BYTES),
                        flags=log.flags,
                    )


def ended_spans(request: ExportTraceServiceRequest) -> Iterator[SourceRecord]:
    """Yield the spans of an OTLP request."""
    for resource_spans in request.resource_spans:
        resource = attribute_values(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                own = attribute_values(span.attributes)
                yield SourceRecord(
                    name=_span_event(own) or span.name,
                    attributes=own,
                    resource=resource,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    trace_id=_identifier(span.trace_id, TRACE_ID_BYTES),
                    span_id=_identifier(span.span_id, SPAN_ID_BYTES),
                    flags=span.flags & _FLAGS or _SAMPLED,
                    span=True,
                )


def attribute_values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as JSON values; of a duplicate key the last value."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _span_event(span_attributes: Mapping[str, Any]) -> str:
    event = span_attributes.get(attributes.ASSAY_SPAN_EVENT)
    return event if isinstance(event, str) else ""


def _value(value: AnyValue) -> Any:  # noqa: ANN401  an attribute holds any JSON value
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attribute_values(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value" and not math.isfinite(value.double_value):
        return str(value.double_value)  # JSON has no NaN and no infinities
    return getattr(value, kind)


def _identifier(value: bytes, length: int) -> str:
    """Return an id in hexadecimal; empty if it is invalid in OTLP: of another length, or all zeros."""
    return value.hex() if len(value) == length and any(value) else ""
