from __future__ import annotations

import hashlib
import json
import math

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.canonical import canonical_form, content, encode, integrity_hash, unwrap
from assay.audit.errors import RecordError
from assay.audit.record import to_pairs, to_value

text = st.text()  # every code point but surrogates
integers = st.integers(-(2**63), 2**63 - 1)
scalars = st.none() | st.booleans() | text | st.binary() | integers | st.floats()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


def form_of(body: object) -> dict:
    return json.loads(canonical_form(LogRecord(event_name="e", body=to_value(body))))["body"]


@given(st.dictionaries(text, values))
@example({"\ue000": 1, "\U00010000": 2})  # in this order by code point, in the other by UTF-16 code unit
@example({"x": 1e21, "y": 1.0, "z": 5e-324})
def test_it_is_what_the_reference_implementation_writes(attributes):
    record = LogRecord(event_name="e", attributes=to_pairs(attributes), body=to_value(attributes))
    members, _ = content(record)
    assert encode(members) == rfc8785.dumps(members) == canonical_form(record)


@given(
    st.recursive(
        text | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1), lambda x: st.dictionaries(text, x)
    )
)
def test_encode_agrees_with_the_reference_on_any_json(value):
    assert encode(value) == rfc8785.dumps(value)


@given(st.dictionaries(text, values))
def test_a_form_reads_back_to_what_went_in(body):
    def plain(value):
        if isinstance(value, bytes):
            return to_value(value) and __import__("base64").b64encode(value).decode()
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value

    assert unwrap(form_of(body)) == plain(body)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("x", {"stringValue": "x"}),
        ("", {"stringValue": ""}),
        (True, {"boolValue": True}),
        (2**53 - 1, {"intValue": 2**53 - 1}),
        (2**53, {"intValue": "9007199254740992"}),
        (-(2**63), {"intValue": "-9223372036854775808"}),
        (1.5, {"doubleValue": 1.5}),
        (math.nan, {"doubleValue": "NaN"}),
        (-math.inf, {"doubleValue": "-Infinity"}),
        (b"\x00\xff", {"bytesValue": "AP8="}),
        (["a", 1], {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}}),
        ({"b": "x"}, {"kvlistValue": {"values": {"b": {"stringValue": "x"}}}}),
        ([], {"arrayValue": {"values": []}}),
    ],
)
def test_values_are_wrapped_by_type(value, form):
    assert form_of(value) == form


def test_the_whole_form_of_one_record_never_changes():
    record = LogRecord(
        time_unix_nano=1714041600000000000,
        observed_time_unix_nano=1714041600000000001,
        event_name="user.login",
        severity_number=9,
        severity_text="INFO",
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        flags=1,
        body=to_value({"ü": 2.0}),
        attributes=to_pairs({"audit.action": "LOGIN", "audit.integrity.value": "c2ln", "a": 2**60}),
    )
    assert canonical_form(record).decode() == (
        '{"attributes":{"a":{"intValue":"1152921504606846976"},"audit.action":{"stringValue":"LOGIN"}},'
        '"body":{"kvlistValue":{"values":{"ü":{"doubleValue":2}}}},"eventName":"user.login","flags":1,'
        '"observedTimeUnixNano":"1714041600000000001","spanId":"0001020304050607",'
        '"timeUnixNano":"1714041600000000000","traceId":"000102030405060708090a0b0c0d0e0f"}'
    )
    assert integrity_hash(record) == hashlib.sha256(canonical_form(record)).hexdigest()
    assert content(record)[1] == {"audit.integrity.value": {"stringValue": "c2ln"}}


def test_a_body_without_content_is_an_absent_one_and_an_empty_string_is_not():
    absent, without = LogRecord(event_name="e"), LogRecord(event_name="e", body=AnyValue())
    assert b"body" not in canonical_form(absent)
    assert canonical_form(without) == canonical_form(absent)
    assert b'"body":{"stringValue":""}' in canonical_form(LogRecord(event_name="e", body=to_value("")))


def test_the_order_of_attributes_does_not_matter_and_the_last_of_two_counts():
    def form(*pairs):
        return canonical_form(LogRecord(attributes=[KeyValue(key=k, value=to_value(v)) for k, v in pairs]))

    assert form(("a", "1"), ("b", "2")) == form(("b", "2"), ("a", "0"), ("a", "1"))


def test_lone_surrogates_are_refused():
    with pytest.raises(RecordError, match="Unicode"):
        encode({"a": "\ud800"})


def test_what_is_nested_too_deep_is_refused():
    value = AnyValue(string_value="x")
    for _ in range(33):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    with pytest.raises(RecordError, match="deep"):
        canonical_form(LogRecord(body=value))


def test_ids_of_a_wrong_length_are_refused():
    with pytest.raises(RecordError, match="trace_id has 3 bytes"):
        canonical_form(LogRecord(trace_id=b"abc"))
