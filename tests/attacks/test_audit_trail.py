"""Requests that tried to stop the audit trail, or to fill memory and disk with what they become."""

from __future__ import annotations

import gzip
import sqlite3
import uuid

import pytest
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit.record import AuditRecord, to_log_record, to_pairs
from assay.exporters.audit import load_verifier, quarantined, verify

pytestmark = [pytest.mark.attack, pytest.mark.slow]

COLLECTOR = {"name": "collector", "protocol": "http", "peer": "collector"}
DIRECT = {"name": "direct", "protocol": "http", "peer": "direct"}
MIB = 1 << 20


def audit_record(**change):
    fields = {
        "event_name": "attack", "action": "APPROVE", "outcome": "success", "actor_id": "a",
        "actor_type": "user", "record_id": str(uuid.uuid4()), "time_unix_nano": 1,
        "observed_time_unix_nano": 1,
    }  # fmt: skip
    return to_log_record(AuditRecord(**{**fields, **change}))


def request_of(*records, resource=None):
    part = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[part])


def post(host, listener, body, *, json=False):
    headers = {
        "content-type": "application/json" if json else "application/x-protobuf",
        "content-encoding": "gzip",
    }
    return requests.post(host.url(listener, "/v1/audit"), gzip.compress(body), headers=headers, timeout=120)


def assert_a_record_is_still_stored(host, listener="collector"):
    record = audit_record()
    assert post(host, listener, request_of(record).SerializeToString()).status_code == 200
    with sqlite3.connect(host.database) as log:
        newest = log.execute("SELECT id FROM audit_log ORDER BY leaf_index DESC LIMIT 1").fetchone()
    log.close()
    assert newest[0] == next(
        pair.value.string_value for pair in record.attributes if pair.key == "audit.record.id"
    )


def disk(host):
    return sum(file.stat().st_size for file in host.database.parent.iterdir())


def test_60000_empty_records_in_164_bytes_become_one_entry(serve):
    host = serve(COLLECTOR)
    body = request_of(*[LogRecord()] * 60_000).SerializeToString()
    assert len(gzip.compress(body)) < 200
    assert post(host, "collector", body).status_code == 200
    assert post(host, "collector", body).status_code == 200  # a Collector may send it again
    [entry] = quarantined(host.database)
    assert (entry["kind"], entry["bytes"]) == ("batch", len(body))
    assert entry["reason"].startswith(
        "60000 records of the batch are invalid, first the record without an id"
    )
    assert_a_record_is_still_stored(host)
    assert len(host.log) < 20_000


def test_records_with_known_ids_and_other_content_take_linear_time(serve):
    host = serve(COLLECTOR)
    ids = [str(uuid.uuid4()) for _ in range(8000)]
    for action in ("APPROVE", "REJECT"):
        body = request_of(*(audit_record(record_id=each, action=action) for each in ids))
        assert post(host, "collector", body.SerializeToString()).status_code == 200
    [entry] = quarantined(host.database)
    assert entry["reason"].startswith("8000 records of the batch are invalid")
    assert_a_record_is_still_stored(host)
    verifier = load_verifier(host.database.with_name("verifier.key"))
    assert verify(host.database, verifier).records == 8001


@pytest.mark.parametrize("valid", [True, False])
def test_a_resource_is_not_copied_into_a_gigabyte_of_leaves(serve, valid):
    host = serve(COLLECTOR, DIRECT)
    large = Resource(attributes=to_pairs({"filler": "a" * (MIB * 9 // 10)}))
    records = (audit_record() if valid else LogRecord(event_name="x") for _ in range(1000))
    body = request_of(*records, resource=large).SerializeToString()
    assert len(gzip.compress(body)) < 168_000
    assert post(host, "direct", body).status_code == 400
    assert post(host, "collector", body).status_code == 200
    [entry] = quarantined(host.database)
    assert (entry["kind"], entry["bytes"]) == ("batch", len(body))
    assert_a_record_is_still_stored(host)
    assert disk(host) < 16 * MIB


def test_a_few_invalid_records_with_a_large_resource_share_one_copy(serve):
    host = serve(COLLECTOR)
    large = Resource(attributes=to_pairs({"filler": "a" * (8 * MIB)}))
    body = request_of(*[LogRecord(event_name="x")] * 50, resource=large).SerializeToString()
    assert post(host, "collector", body).status_code == 200
    [entry] = quarantined(host.database)
    assert entry["bytes"] == len(body)
    assert disk(host) < 32 * MIB


def nested(*fields_and_body):
    """Return a message in messages: field numbers from the outside, then the body."""
    *fields, body = fields_and_body
    for number in reversed(fields):
        length, encoded = len(body), bytearray()
        while length > 127:
            encoded.append(length & 127 | 128)
            length >>= 7
        encoded.append(length)
        body = bytes([number << 3 | 2]) + bytes(encoded) + body
    return body


GROUP_FIRST = b"\x0b\x0c"  # an unknown group of field 1, which must not end the count
BOMBS = {
    "empty records": lambda: nested(1, 2, b"\x12\x00" * (15 * MIB)),
    "empty records after a group": lambda: GROUP_FIRST + nested(1, 2, b"\x12\x00" * (15 * MIB)),
    "empty records with long tags": lambda: nested(1, 2, b"\x92\x00\x00" * (10 * MIB)),
    "empty resources": lambda: b"\x0a\x00" * (15 * MIB),
    "empty attributes": lambda: nested(1, 2, 2, b"\x32\x00" * (15 * MIB)),
    "empty array items": lambda: nested(1, 2, 2, 5, 5, b"\x0a\x00" * (15 * MIB)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_protobuf_body_of_millions_of_messages_is_refused_before_it_is_parsed(serve, bomb):
    host, body = serve(COLLECTOR, DIRECT), BOMBS[bomb]()
    answer = post(host, "direct", body)
    assert answer.status_code == 413
    assert b"more than 1000000 messages" in answer.content
    assert post(host, "collector", body).status_code == 200
    [entry] = quarantined(host.database)
    assert entry["bytes"] < 100_000  # as received
    assert_a_record_is_still_stored(host)


JSON_BOMBS = {
    "objects": lambda: b'{"resourceLogs":[%b{}]}' % (b"{}," * (10 * MIB)),
    "unknown arrays": lambda: b'{"unknown":[%b[]]}' % (b"[]," * (10 * MIB)),
    "unknown numbers": lambda: b'{"unknown":[%b0]}' % (b"0," * (15 * MIB)),
    "records": lambda: (
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b{}]}]}]}' % (b"{}," * (900_000 // 2))
    ),
}


@pytest.mark.parametrize("bomb", JSON_BOMBS)
def test_a_json_body_of_millions_of_values_stays_within_the_memory_limit(serve, bomb):
    host, body = serve(COLLECTOR, DIRECT), JSON_BOMBS[bomb]()
    refused = post(host, "direct", body, json=True)
    assert refused.status_code == (400 if bomb == "records" else 413)
    assert post(host, "collector", body, json=True).status_code == 200
    assert_a_record_is_still_stored(host)
