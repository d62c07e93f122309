"""The number of messages in a body, compared with the parsed request."""

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.host._expansion import (
    TooManyError,
    _Counter,
    check_json,
    check_protobuf,
    memory,
    most_memory,
)

from .conftest import deep, logs, traces


def messages(message: Message) -> int:
    count = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            for nested in value if field.is_repeated else [value]:
                count += 1 + messages(nested)
    return count


def accepts(request, at_most):
    payload = request.SerializeToString()
    try:
        _Counter(payload, at_most).count(0, len(payload), request.DESCRIPTOR)
    except TooManyError:
        return False
    return True


@pytest.mark.parametrize("request_", [logs(0), logs(1), logs(50), traces(30), deep(20)])
def test_the_count_is_that_of_the_parsed_request(request_):
    count = messages(request_)
    assert accepts(request_, count)
    assert count == 0 or not accepts(request_, count - 1)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 20))
def test_no_body_that_parses_has_more_messages_than_the_check_lets_pass(payload, at_most):
    try:
        check_protobuf(payload, ExportLogsServiceRequest.DESCRIPTOR, at_most)
        parsed = ExportLogsServiceRequest.FromString(payload)
    except Exception:  # noqa: BLE001  refused, or not protobuf
        return
    assert messages(parsed) <= at_most


@given(st.recursive(st.none(), lambda inner: st.lists(inner, max_size=5)), st.integers(0, 20))
def test_a_json_body_has_at_most_the_values_that_pass(value, at_most):
    import orjson

    def values(item):
        return 1 + sum(map(values, item)) if isinstance(item, list) else 1

    try:
        check_json(orjson.dumps(value), at_most)
    except TooManyError:
        return
    assert values(value) <= max(2 * at_most, at_most + 1)


@given(
    st.lists(st.sampled_from([b"\n\x00", b"x" * 40_000, b"{}"]), max_size=4).map(b"".join),
    st.sampled_from(["protobuf", "json"]),
)
def test_a_request_takes_at_most_the_most_memory(payload, encoding):
    assert memory(payload, 3, encoding) <= most_memory(payload, 3)
