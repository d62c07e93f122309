"""The sink in the real host: records from the SDK, rejections over HTTP, batches from a Collector."""

from __future__ import annotations

import json

import pytest
import requests
from google.protobuf.json_format import MessageToDict

from assay.audit import (
    AuditProvider,
    AuditRecord,
    ConflictError,
    ExportError,
    OTLPAuditExporter,
    SimpleProcessor,
)
from assay.exporters.audit import quarantined, verify

from .conftest import settings_of

pytestmark = pytest.mark.stores("sqlite", "postgresql")

DIRECT = {"name": "direct", "peer": "direct", "auth": {"bearer": "direct-token"}}
COLLECTOR = {"name": "collector", "peer": "collector", "auth": {"bearer": "hop-token"}}


@pytest.fixture
def host(run_host, database):
    where = {"protocol": "http", "address": "127.0.0.1:0"}
    return run_host({**DIRECT, **where}, {**COLLECTOR, **where}, **settings_of(database))


def url(host, listener, path="/v1/audit"):
    name, port = host.addresses[listener]
    return f"http://{name}:{port}{path}"


def exporter(host, listener="direct", token="direct-token"):
    return OTLPAuditExporter(url(host, listener), token=token, retries=0)


def audit_logger(host, resource=None):
    return AuditProvider(SimpleProcessor(exporter(host)), resource).get_logger("tests")


LOGIN = {"event_name": "user.login", "action": "LOGIN", "outcome": "success"}


def test_emit_returns_the_sinks_receipt_and_the_route_repeats_it(host, database, key):
    receipt = audit_logger(host, {"service.name": "orders"}).emit(AuditRecord(**LOGIN))
    path = f"/v1/audit/receipts/{receipt.record_id}"
    answer = requests.get(
        url(host, "direct", path), headers={"Authorization": "Bearer direct-token"}, timeout=10
    )
    assert answer.json() == {
        "record_id": receipt.record_id,
        "integrity_hash": receipt.integrity_hash,
        "sink_timestamp": str(receipt.sink_timestamp),
    }
    assert requests.get(url(host, "direct", path), timeout=10).status_code == 401
    assert verify(database, key()).records == 1


def test_an_unknown_record_has_no_receipt(host):
    path = "/v1/audit/receipts/00000000-0000-4000-8000-000000000000"
    answer = requests.get(
        url(host, "direct", path), headers={"Authorization": "Bearer direct-token"}, timeout=10
    )
    assert answer.status_code == 404


def test_receipts_of_many_records_are_asked_for_at_once(host, record, batch):
    logger = audit_logger(host)
    receipts = [logger.emit(AuditRecord(**LOGIN)) for _ in range(2)]
    bad = record(actor_type="robot")
    exporter(host, "collector", "hop-token").export(batch(bad).request)
    bad_id = next(pair.value.string_value for pair in bad.attributes if pair.key == "audit.record.id")
    unknown = "00000000-0000-4000-8000-000000000000"
    answer = requests.post(
        url(host, "direct", "/v1/audit/receipts"),
        json={"record_ids": [receipts[1].record_id, unknown, bad_id, receipts[0].record_id]},
        headers={"Authorization": "Bearer direct-token"},
        timeout=10,
    ).json()
    assert answer["receipts"] == [
        {
            "record_id": receipt.record_id,
            "integrity_hash": receipt.integrity_hash,
            "sink_timestamp": str(receipt.sink_timestamp),
        }
        for receipt in reversed(receipts)
    ]
    assert [entry["record_id"] for entry in answer["quarantined"]] == [bad_id]
    assert "robot" in answer["quarantined"][0]["reason"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"record_ids": "x"}',
        b'{"record_ids": [1]}',
        b'{"record_ids": ["%s"]}' % (b"x" * (1 << 20)),
    ],
)
def test_a_request_for_receipts_without_a_list_of_ids_is_400(host, body):
    where = url(host, "direct", "/v1/audit/receipts")
    headers = {"Authorization": "Bearer direct-token"}
    assert requests.post(where, data=body, headers=headers, timeout=10).status_code == 400
    assert requests.post(where, data=body, timeout=10).status_code == 401


def test_a_repeated_record_succeeds_and_another_under_its_id_is_409(host):
    logger = audit_logger(host)
    first = logger.emit(AuditRecord(**LOGIN, time_unix_nano=1, observed_time_unix_nano=1))
    same = {"record_id": first.record_id, "time_unix_nano": 1, "observed_time_unix_nano": 1}
    assert logger.emit(AuditRecord(**LOGIN, **same)) == first
    with pytest.raises(ConflictError, match=first.record_id):
        logger.emit(AuditRecord(**LOGIN, **same, target_id="x"))


def test_an_invalid_record_is_rejected_directly_and_quarantined_from_a_collector(
    host, database, key, record, batch
):
    bad = batch(record(actor_type="robot")).request
    with pytest.raises(ExportError, match="robot"):
        exporter(host).export(bad)
    exporter(host, "collector", "hop-token").export(bad)
    assert ["robot" in entry["reason"] for entry in quarantined(database)] == [True]
    entry = next(quarantined(database))
    path = f"/v1/audit/receipts/{entry['record_id']}"
    answer = requests.get(
        url(host, "direct", path), headers={"Authorization": "Bearer direct-token"}, timeout=10
    )
    assert answer.status_code == 409
    assert "robot" in answer.json()["reason"]


def test_an_unreadable_batch_from_a_collector_is_quarantined(host, database):
    headers = {"Authorization": "Bearer hop-token", "Content-Type": "application/x-protobuf"}
    assert requests.post(url(host, "collector"), b"\xff\xff", headers=headers, timeout=10).status_code == 200
    assert [entry["kind"] for entry in quarantined(database)] == ["batch"]


def test_json_is_accepted_too(host, database, key, record, batch):
    request = MessageToDict(batch(record()).request)
    headers = {"Authorization": "Bearer direct-token", "Content-Type": "application/json"}
    answer = requests.post(url(host, "direct"), json.dumps(request), headers=headers, timeout=10)
    assert answer.status_code == 200
    assert len(answer.json()["receipts"]) == 1
    assert verify(database, key()).records == 1
