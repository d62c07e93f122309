from __future__ import annotations

import pytest

from assay.exporters.audit import AuditLogError, Query, newest_checkpoint, quarantined_payload, query
from assay.exporters.audit._query import moment


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


def test_values_are_bound_to_the_sql(log):
    assert not list(query(log, Query(actor="' OR 1 --")))


def test_times_are_converted_to_utc():
    assert moment("2026-11-21T04:00:00+01:00") == "2026-11-21T03:00:00.000000Z"
    assert moment("2026-11-21") == moment("2026-11-21T00:00:00Z") == "2026-11-21T00:00:00.000000Z"
    assert moment("0999-01-01") == "0999-01-01T00:00:00.000000Z"
    for text in ("yesterday", "9" * 30 + "d", "0001-01-01T00:00:00+14:00", "-5m"):
        with pytest.raises(AuditLogError, match="90m"):
            moment(text)


def test_a_damaged_database_is_reported(log):
    data = bytearray(log.read_bytes())
    for place in range(4096, len(data), 4096):
        data[place : place + 64] = b"\xff" * 64
    log.write_bytes(data)
    with pytest.raises(AuditLogError, match="assay audit verify"):
        list(query(log, Query()))


def test_the_newest_checkpoint_is_also_in_the_file(log):
    assert newest_checkpoint(log) == log.with_name("checkpoint").read_text()


def test_an_unknown_entry_has_no_payload(log):
    with pytest.raises(AuditLogError):
        quarantined_payload(log, 0)
