"""The form that the Collector's `signing` processor signs.

The expected bytes follow the table "Signed payload" of the processor's README.
"""

from __future__ import annotations

import math

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.collector_form import collector_form
from assay.audit.errors import RecordError
from assay.audit.record import to_pairs, to_value


def test_the_whole_form_of_one_record():
    record = LogRecord(
        time_unix_nano=1714041600000000000,
        observed_time_unix_nano=1714041600000000001,
        event_name="user.login",
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        body=to_value("b\u00f6dy"),
        attributes=to_pairs(
            {
                "int": 123,
                "big": 2**63 - 1,
                "negative": -5,
                "text": "123",
                "double": 1.0,
                "bool": True,
                "bytes": b"hello",
                "list": [7, "7", [True]],
                "map": {"b": 1, "a": {"c": "x"}},
                "audit.integrity.value": "c2ln",
            }
        ),
    )
    assert collector_form(record).decode() == (
        '{"attributes":{"big":{"intValue":"9223372036854775807"},"bool":{"boolValue":true},'
        '"bytes":{"bytesValue":"aGVsbG8="},"double":{"doubleValue":1},"int":{"intValue":"123"},'
        '"list":[{"intValue":"7"},{"stringValue":"7"},[{"boolValue":true}]],'
        '"map":{"a":{"c":{"stringValue":"x"}},"b":{"intValue":"1"}},"negative":{"intValue":"-5"},'
        '"text":{"stringValue":"123"}},"body":"b\u00f6dy","event_name":"user.login",'
        '"observed_timestamp":"1714041600000000001","span_id":"0001020304050607",'
        '"timestamp":"1714041600000000000","trace_id":"000102030405060708090a0b0c0d0e0f"}'
    )


def test_empty_members_are_left_out():
    assert collector_form(LogRecord()) == b"{}"
    assert collector_form(LogRecord(trace_id=bytes(16), span_id=bytes(8), body=AnyValue())) == b"{}"
    assert collector_form(LogRecord(body=to_value(""))) == b'{"body":""}'


def test_a_body_that_the_signature_would_not_cover_is_refused():
    with pytest.raises(RecordError, match="covers a body only if it is a string"):
        collector_form(LogRecord(body=to_value({"action": "delete"})))


def test_neither_severity_nor_flags_are_covered():
    assert collector_form(LogRecord(severity_number=9, severity_text="INFO", flags=1)) == b"{}"


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_without_a_form_is_refused(number):
    with pytest.raises(RecordError, match="NaN"):
        collector_form(LogRecord(attributes=to_pairs({"x": number})))


def test_a_value_that_is_nested_too_deeply_is_refused():
    value = AnyValue(string_value="x")
    for _ in range(33):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    with pytest.raises(RecordError, match="deep"):
        collector_form(LogRecord(attributes=[{"key": "x", "value": value}]))
