from __future__ import annotations

import hashlib
import json

import pytest

from assay.exporters.audit import FIELDS, AuditLogError, Query, newest_checkpoint, quarantined_payload, query
from assay.exporters.audit._times import moment

pytestmark = pytest.mark.stores("sqlite", "postgresql")


def test_each_field_of_a_query_restricts_the_records(open_sink, database, record, batch):
    sink = open_sink()
    sink.export(
        batch(
            record(),
            record(
                actor_id="bea",
                action="REJECT",
                target_id="t",
                event_name="e",
                attributes={"assay.correlation_id": "c"},
            ),
        )
    )
    for fields in (
        {"actor": "bea"},
        {"action": "REJECT"},
        {"target": "t"},
        {"event": "e"},
        {"correlation_id": "c"},
    ):
        assert [found["actor_id"] for found in query(database, Query(**fields))] == ["bea"]
    assert not list(query(database, Query(actor="bea", action="APPROVE")))
    assert len(list(query(database, Query(since="1h")))) == 2
    assert not list(query(database, Query(until="2020-01-01")))
    assert [found["actor_id"] for found in query(database, Query(limit=1))] == ["bea"]


def test_every_part_of_a_record_is_returned(open_sink, database, record, batch):
    sink = open_sink()
    one = record(outcome="failure", time_unix_nano=1_700_000_000_000_000_000)
    (receipt,) = sink.export(batch(record(), one)).receipts[1:]
    (found,) = query(database, Query(outcome="failure"))
    assert tuple(found) == FIELDS
    assert found["happened_at"] == "2023-11-14T22:13:20.000000Z"
    assert (found["source_type"], found["source_id"]) == ("ipv4", "203.0.113.7")
    assert found["resource"] == {"service.name": "orders", "resource": 1.0}
    assert found["attributes"]["audit.target.id"] == "approval-1"
    assert found["integrity_hash"] == receipt["integrity_hash"]
    assert found["leaf_index"] == 1
    assert found["verify_status"] is None


def test_the_leaf_hash_follows_from_the_json_of_a_record(log):
    """With the standard library alone."""
    text = json.dumps(list(query(log, Query())))
    records = json.loads(text)
    assert len(records) == 40
    for found in records:
        assert hashlib.sha256(b"\x00" + found["leaf"].encode()).hexdigest() == found["leaf_hash"]


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"outcome": "failure"}, 1),
        ({"outcome": "success"}, 2),
        ({"source": "203.0.113.9"}, 1),
        ({"happened_since": "2026-01-01"}, 2),
        ({"happened_until": "2026-01-01"}, 1),
        ({"attributes": {"service.name": "orders"}}, 3),
        ({"attributes": {"service.name": "orders", "audit.target.id": "t"}}, 1),
        ({"attributes": {"missing": "None"}}, 0),
        ({"outcome": "success", "limit": 1}, 1),
    ],
)
def test_the_parts_of_the_leaf_restrict_the_records(open_sink, database, record, batch, fields, number):  # noqa: PLR0913, PLR0917  fixtures
    sink = open_sink()
    old = record(outcome="failure", time_unix_nano=1)
    sink.export(batch(old, record(source_id="203.0.113.9"), record(target_id="t")))
    assert len(list(query(database, Query(**fields)))) == number


def test_values_are_bound_to_the_sql(log):
    assert not list(query(log, Query(actor="' OR 1 --")))


def test_times_are_converted_to_utc():
    assert moment("2026-11-21T04:00:00+01:00") == "2026-11-21T03:00:00.000000Z"
    assert moment("2026-11-21") == moment("2026-11-21T00:00:00Z") == "2026-11-21T00:00:00.000000Z"
    assert moment("0999-01-01") == "0999-01-01T00:00:00.000000Z"
    for text in ("yesterday", "9" * 30 + "d", "0001-01-01T00:00:00+14:00", "-5m"):
        with pytest.raises(AuditLogError, match="90m"):
            moment(text)


@pytest.mark.stores("sqlite")
def test_a_damaged_database_is_reported(log):
    data = bytearray(log.read_bytes())
    for place in range(8192, len(data), 8192):
        data[place : place + 64] = b"\xff" * 64
    log.write_bytes(data)
    with pytest.raises(AuditLogError, match="assay audit verify"):
        list(query(log, Query()))


def test_the_newest_checkpoint_is_also_in_the_file(log):
    assert newest_checkpoint(log) == log.with_name("checkpoint").read_text()


def test_an_unknown_entry_has_no_payload(log):
    with pytest.raises(AuditLogError):
        quarantined_payload(log, 0)
