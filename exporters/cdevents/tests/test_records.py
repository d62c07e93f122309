from __future__ import annotations

import math

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from assay.exporters.cdevents.records import attributes, ended_spans, log_events

from .conftest import SPAN, TIME, TRACE, key_value, logs, spans


def test_a_log_event():
    [record] = log_events(logs(("a.b", {"k": 1})).request, received=1)
    assert (record.name, record.attributes, record.resource) == ("a.b", {"k": 1}, {"service.name": "orders"})
    assert record.start == record.end == TIME
    assert record.traceparent == f"00-{TRACE.hex()}-{SPAN.hex()}-01"


def test_a_log_record_without_event_name_is_none():
    assert not list(log_events(logs(("", {"k": 1})).request, received=1))


def test_a_log_event_without_any_time_has_that_of_its_arrival():
    [record] = log_events(logs(("a", {}), at=0).request, received=77)
    assert record.start == 77


def test_a_log_event_outside_a_span_has_no_traceparent():
    [record] = log_events(logs(("a", {}), span=b"").request, received=1)
    assert record.traceparent == ""


def test_zero_ids_are_none():
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(
        event_name="a", trace_id=bytes(16), span_id=bytes(8)
    )
    [record] = log_events(request, received=1)
    assert record.traceparent == record.trace_id == ""


def test_a_span():
    [record] = ended_spans(spans("a", {"k": "v"}).request)
    assert (record.name, record.attributes, record.span) == ("a", {"k": "v"}, True)
    assert (record.start, record.end) == (TIME, TIME + 1_000_000_000)
    assert record.traceparent == f"00-{TRACE.hex()}-{SPAN.hex()}-01"


def test_values_are_json():
    values = attributes(
        [
            key_value("nan", math.nan),
            KeyValue(key="bytes", value=AnyValue(bytes_value=b"\xff")),
            KeyValue(key="array", value=AnyValue(array_value=ArrayValue(values=[AnyValue(bool_value=True)]))),
            KeyValue(key="map", value=AnyValue(kvlist_value=KeyValueList(values=[key_value("k", 1.5)]))),
            KeyValue(key="none"),
        ]
    )
    assert values == {"nan": "nan", "bytes": "/w==", "array": [True], "map": {"k": 1.5}, "none": None}


def test_ids_of_a_wrong_length_are_none():
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(
        event_name="a", trace_id=b"\1" * 8, span_id=b"\2" * 16
    )
    [record] = log_events(request, received=1)
    assert record.traceparent == record.trace_id == record.span_id == ""
