from __future__ import annotations

import math

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from assay.exporters.cdevents._records import attribute_values, ended_spans, log_events

from .conftest import SPAN, TIME, TRACE, key_value, logs, spans


def test_a_log_event():
    [record] = log_events(logs(("a.b", {"k": 1})).request, received=1)
    assert (record.name, record.attributes, record.resource) == ("a.b", {"k": 1}, {"service.name": "orders"})
    assert record.start == record.end == TIME
    assert record.traceparent == f"00-{TRACE.hex()}-{SPAN.hex()}-01"


def test_a_log_record_without_event_name_is_ignored():
    assert not list(log_events(logs(("", {"k": 1})).request, received=1))


def test_a_log_event_without_a_time_has_the_time_of_arrival():
    [record] = log_events(logs(("a", {}), at=0).request, received=77)
    assert record.start == 77


def test_a_log_event_outside_a_span_has_no_traceparent():
    [record] = log_events(logs(("a", {}), span=b"").request, received=1)
    assert record.traceparent == ""


def test_zero_ids_become_empty():
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


def test_a_span_with_a_name_of_its_own_has_the_name_of_its_registry_event():
    [record] = ended_spans(spans("RUN nightly", {"assay.span.event": "job.run"}).request)
    assert record.name == "job.run"


@pytest.mark.parametrize("event", ["", 7, None])
def test_a_span_event_that_is_not_a_name_leaves_the_span_its_name(event):
    request = spans("RUN nightly", {}).request
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="assay.span.event").CopyFrom(
        KeyValue(key="assay.span.event") if event is None else key_value("assay.span.event", event)
    )
    [record] = ended_spans(request)
    assert record.name == "RUN nightly"


def test_values_become_json():
    values = attribute_values(
        [
            key_value("nan", math.nan),
            KeyValue(key="bytes", value=AnyValue(bytes_value=b"\xff")),
            KeyValue(key="array", value=AnyValue(array_value=ArrayValue(values=[AnyValue(bool_value=True)]))),
            KeyValue(key="map", value=AnyValue(kvlist_value=KeyValueList(values=[key_value("k", 1.5)]))),
            KeyValue(key="none"),
        ]
    )
    assert values == {"nan": "nan", "bytes": "/w==", "array": [True], "map": {"k": 1.5}, "none": None}


def test_ids_of_a_wrong_length_become_empty():
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(
        event_name="a", trace_id=b"\1" * 8, span_id=b"\2" * 16
    )
    [record] = log_events(request, received=1)
    assert record.traceparent == record.trace_id == record.span_id == ""
