"""OTLP/JSON against protobuf: requests round-trip, and errors name their path."""

import base64
import math

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.host.otlp_json import MalformedError, TooDeepError, decode, encode


def metrics():
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    points = scope.metrics.add(name="h", unit="s").histogram
    points.aggregation_temporality = 2
    points.data_points.add(count=2**63, sum=0.0, bucket_counts=[1, 2], explicit_bounds=[0.5], min=-math.inf)
    scope.metrics.add(name="g").gauge.data_points.add(as_int=-(2**63))
    return request


def logs():
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add().scope_logs.add().log_records.add(trace_id=b"\xab" * 16, severity_number=9)
    )
    values = [
        {"string_value": ""},
        {"int_value": 2**53 + 1},
        {"double_value": math.inf},
        {"bool_value": False},
        {"bytes_value": b"\x00\xff"},
        {"array_value": {}},
        {"kvlist_value": {"values": [{"key": "k"}]}},
    ]
    for value in values:
        record.attributes.add(key="a", value=value)
    record.attributes.add(key="empty").value.SetInParent()
    return request


def traces():
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    span = spans.add(trace_id=bytes(16), span_id=b"\x01" * 8, parent_span_id=b"\x02" * 8, name="é", kind=3)
    span.events.add(name="e", time_unix_nano=2**64 - 1)
    span.links.add(trace_id=b"\x03" * 16)
    span.status.code = 2
    return request


@pytest.mark.parametrize("request_", [logs(), traces(), metrics()])
def test_a_request_round_trips(request_):
    assert decode(encode(request_), type(request_), 64) == request_


def hexed(value):
    """Return a document of protobuf's own printer with hexadecimal ids, as in OTLP."""
    if isinstance(value, list):
        return [hexed(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId", "spanId", "parentSpanId"}
    return {key: base64.b64decode(item).hex() if key in ids else hexed(item) for key, item in value.items()}


@pytest.mark.parametrize("request_", [logs(), traces(), metrics()])
def test_the_json_is_protobufs_except_for_ids_and_enums(request_):
    expected = hexed(MessageToDict(request_, use_integers_for_enums=True))
    assert orjson.loads(encode(request_)) == expected


def record(**fields):
    return orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [fields]}]}]})


def read(**fields):
    return (
        decode(record(**fields), ExportLogsServiceRequest, 64).resource_logs[0].scope_logs[0].log_records[0]
    )


@pytest.mark.parametrize("value", [17, "17", 17.0])
def test_integers_may_be_numbers_or_strings(value):
    assert read(timeUnixNano=value).time_unix_nano == 17


@pytest.mark.parametrize(("text", "number"), [("-1.5e3", -1500.0), ("Infinity", float("inf")), ("7", 7.0)])
def test_doubles_may_be_strings(text, number):
    assert read(body={"doubleValue": text}).body.double_value == number


def test_null_means_absent_and_unknown_names_are_ignored():
    assert (
        read(timeUnixNano=None, time_unix_nano="17", severityText="x", somethingNew=[[]]).ListFields()[0][1]
        == "x"
    )


def test_hexadecimal_may_be_of_either_case():
    assert read(traceId="AB" * 16).trace_id == read(traceId="ab" * 16).trace_id == b"\xab" * 16


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"timeUnixNano": "1e3"}, "logRecords[0].timeUnixNano: expected an integer"),
        ({"timeUnixNano": "1_000"}, "logRecords[0].timeUnixNano: expected an integer"),
        ({"timeUnixNano": " 17"}, "logRecords[0].timeUnixNano: expected an integer"),
        ({"timeUnixNano": -1}, "outside 0 to"),
        ({"timeUnixNano": "9" * 5000}, "outside 0 to"),
        ({"timeUnixNano": True}, "expected an integer, got a boolean"),
        ({"severityNumber": "SEVERITY_NUMBER_INFO"}, "expected an integer, got a string"),
        ({"severityText": 3}, "expected a string, got a number"),
        ({"traceId": "q80="}, "expected hexadecimal"),
        ({"attributes": {}}, "expected an array, got an object"),
        ({"attributes": [{}, 3]}, "attributes[1]: expected an object, got a number"),
        ({"body": {"boolValue": 1}}, "body.boolValue: expected true or false"),
        ({"body": {"bytesValue": "%"}}, "body.bytesValue: expected base64"),
        *(
            ({"body": {"doubleValue": value}}, "body.doubleValue: expected a number")
            for value in ([], "1_0", "nan", "1e999", "")
        ),
        ({"body": {"intValue": "1", "stringValue": "1"}}, "body: only one of string_value and int_value"),
    ],
)
def test_an_error_names_its_path(fields, message):
    with pytest.raises(MalformedError) as caught:
        decode(record(**fields), ExportLogsServiceRequest, 64)
    assert message in str(caught.value)


def test_depth_is_counted_in_messages_as_in_protobuf():
    body = {"intValue": "1"}
    for _ in range(3):
        body = {"arrayValue": {"values": [body]}}
    assert decode(record(body=body), ExportLogsServiceRequest, 11)
    with pytest.raises(TooDeepError):
        decode(record(body=body), ExportLogsServiceRequest, 10)
