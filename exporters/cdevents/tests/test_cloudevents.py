from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.exporters.cdevents import InvalidEvent, check
from assay.exporters.cdevents.cloudevents import decode, envelope, from_request, headers

EVENT = {
    "context": {
        "specversion": "0.5.1", "id": "1", "source": "/a", "type": "dev.cdevents.taskrun.started.0.3.0",
        "timestamp": "2026-01-01T00:00:00Z",
    },
    "subject": {"id": "run/é 1", "content": {"taskName": "t"}},
}  # fmt: skip
PARENT = f"00-{'1' * 32}-{'2' * 16}-01"


def test_the_envelope_has_the_values_of_the_event():
    document = envelope(EVENT, PARENT)
    assert document == {
        "specversion": "1.0", "id": "1", "source": "/a", "type": "dev.cdevents.taskrun.started.0.3.0",
        "time": "2026-01-01T00:00:00Z", "subject": "run/é 1", "datacontenttype": "application/json",
        "traceparent": PARENT, "data": EVENT,
    }  # fmt: skip
    assert check(document) == EVENT


def test_a_bare_event_is_checked_too():
    assert check(EVENT) is EVENT


def test_binary_mode_round_trips():
    document = envelope(EVENT, PARENT)
    sent = headers(document)
    assert sent["ce-subject"] == "run/%C3%A9%201"
    assert from_request(sent, json.dumps(EVENT).encode()) == document


@given(st.text(min_size=1))
def test_any_text_round_trips_through_a_header(text):
    encoded = headers({"subject": text})["ce-subject"]
    assert encoded.isascii()
    assert not set(encoded) & set(' "\r\n')
    assert from_request({"ce-subject": encoded, "ce-specversion": "1.0"}, b"{}")["subject"] == text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": "2"}, "id"),
        ({"source": "a b"}, "source"),
        ({"type": "dev.cdevents.taskrun.finished.0.3.0"}, "type"),
        ({"time": "2026-01-01T00:00:01Z"}, "time"),
        ({"subject": "other"}, "subject"),
        ({"dataschema": "relative"}, "dataschema"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"traceParent": "x"}, "traceParent"),
        ({"ext": 2**31}, "ext"),
        ({"ext": {}}, "ext"),
        ({"data": "text"}, "data"),
        ({"data_base64": "e30="}, "data_base64"),
        ({"data": None}, "data"),
    ],
)
def test_a_fault_of_the_envelope_names_its_attribute(change, field):
    with pytest.raises(InvalidEvent) as caught:
        check({**envelope(EVENT), **change})
    assert field in [fault.field for fault in caught.value.faults]


def test_an_attribute_that_is_null_is_not_set():
    assert check({**envelope(EVENT), "dataschema": None, "ext": None, "subject": None}) == EVENT
    with pytest.raises(InvalidEvent, match="id: is missing"):
        check({**envelope(EVENT), "id": None})


def test_data_in_base64_is_decoded_and_other_text_is_a_fault():
    document = {name: value for name, value in envelope(EVENT).items() if name != "data"}
    assert check({**document, "data_base64": base64.b64encode(json.dumps(EVENT).encode()).decode()}) == EVENT
    for wrong in ("é", "e30", 7):
        with pytest.raises(InvalidEvent, match="data_base64: is not base64"):
            check({**document, "data_base64": wrong})


def test_a_fault_of_the_data_names_its_path():
    document = copy.deepcopy(envelope(EVENT))
    document["data"]["subject"]["content"]["taskName"] = 1
    with pytest.raises(InvalidEvent) as caught:
        check(document)
    assert [fault.field for fault in caught.value.faults] == ["data.subject.content.taskName"]


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type"])
def test_a_missing_attribute_is_named(missing):
    document = {name: value for name, value in envelope(EVENT).items() if name != missing}
    with pytest.raises(InvalidEvent, match=f"{missing}: is missing"):
        check(document)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_text_that_is_not_json_is_refused(body):
    with pytest.raises(InvalidEvent, match="is not JSON"):
        decode(body)


def test_a_request_that_is_not_a_cloudevent_is_refused():
    with pytest.raises(InvalidEvent, match="is not a CloudEvent"):
        from_request({"Content-Type": "application/json"}, b"{}")
