"""Broken chains are reported when their records arrive, and every record is stored."""

from __future__ import annotations

import random

import pytest

from assay.exporters.audit import _arrivals, verify
from assay.exporters.audit._arrivals import Arrivals
from assay.exporters.audit._sequence import Link, Sequenced

from .test_chains import chained
from .witnesses import wait_until

SECOND = 1_000_000_000


def links(count, stream="s", **change_of):
    """Return the records of a chain that is whole, except for changes such as `at_2={"end": True}`."""
    made, before = [], None
    for number in range(1, count + 1):
        digest = f"{number:064x}"
        link = Link(f"id-{number}", digest, before, None, False)._replace(**change_of.get(f"at_{number}", {}))
        made.append(Sequenced(stream, number, link))
        before = digest
    return made


def kinds(arrivals, records, now=0):
    return [fault.kind for record in records for fault in arrivals.add(record, now)]


def test_a_whole_chain_has_no_fault_in_any_order():
    records = links(50)
    random.Random(7).shuffle(records)
    arrivals = Arrivals(60)
    assert kinds(arrivals, records) == []
    assert arrivals.overdue(10**18) == []


def test_a_gap_is_reported_once_when_it_has_lasted():
    arrivals, records = Arrivals(60), links(5)
    assert kinds(arrivals, [records[0], *records[2:4]]) == []
    assert arrivals.overdue(59 * SECOND) == []
    (fault,) = arrivals.overdue(60 * SECOND)
    assert (fault.kind, fault.stream) == ("gap", "s")
    assert "number 2 is missing before record 'id-3'" in str(fault)
    assert arrivals.overdue(900 * SECOND) == []
    assert kinds(arrivals, [records[1]]) == []  # it was late, not forked
    assert kinds(arrivals, [records[1]]) == ["fork"]
    assert kinds(arrivals, [records[4]]) == []


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (links(3) + links(3)[1:2], ["fork"]),
        (links(3, at_2={"end": True}), ["after_end"]),
        (links(3, at_3={"previous_hash": "00"}), ["mismatch"]),
        (links(3, at_3={"previous_hash": None}), ["mismatch"]),
        (links(2, at_2={"previous_id": "other"}), ["mismatch"]),
        (links(1, at_1={"previous_hash": "00"}), ["mismatch"]),
        ([Sequenced("s", wrong, links(1)[0].link) for wrong in (0, True, "1", None, 1.0)], ["number"] * 5),
    ],
)
def test_a_broken_chain_has_its_fault(records, expected):
    assert kinds(Arrivals(60), records) == expected


def test_streams_are_independent():
    assert kinds(Arrivals(60), links(3, "a") + links(3, "b")) == []


def test_a_chain_that_began_before_what_is_known_has_no_fault():
    arrivals, records = Arrivals(60), links(9)
    arrivals.restore([(records[3], 0)], 0, whole_log=False)
    assert kinds(arrivals, [records[4], records[2], *records[5:7]]) == []
    assert kinds(arrivals, [records[4]]) == ["fork"]
    assert kinds(arrivals, links(9, "other")[6:]) == []
    assert arrivals.overdue(10**18) == []


def test_what_is_restored_is_not_reported_again():
    arrivals, records = Arrivals(60), links(9)
    old, new = 0, 1000 * SECOND
    arrivals.restore([(records[0], old), (records[2], old), (records[4], new)], new, whole_log=True)
    (fault,) = arrivals.overdue(new + 60 * SECOND)  # number 2 was missing long before
    assert "number 4 is missing" in fault.reason


def test_waiting_records_and_streams_are_bounded(monkeypatch):
    monkeypatch.setattr(_arrivals, "WAITING", 100)
    monkeypatch.setattr(_arrivals, "STREAMS", 10)
    arrivals = Arrivals(60)
    assert kinds(arrivals, links(1000)[1::2]).count("gap") > 300  # 500 numbers are missing
    assert arrivals._waiting <= 100
    for stream in range(50):
        arrivals.add(links(2, str(stream))[1], 0)
    assert len(arrivals._streams) <= 10
    assert arrivals._waiting <= 100


def test_many_gaps_cost_time_linear_in_their_number():
    """One record that waits after each gap, as an attacker would send them."""
    arrivals = Arrivals(60)
    assert kinds(arrivals, links(60_000)[1::2]) == []
    assert len(arrivals.overdue(60 * SECOND)) == 30_000


@pytest.mark.parametrize("peer", ["direct", "collector"])
def test_records_of_a_broken_chain_are_stored_counted_and_logged(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, caplog, peer
):
    sink = open_sink(chain_seconds=0, checkpoint_seconds=0.05)
    records = chained(record, 4, at_3={"audit.sequence.previous_hash": "00"})
    sink.export(batch(records[0], records[2], peer=peer))
    wait_until(lambda: "number 2 is missing" in caplog.text)
    sink.export(batch(records[0], records[2], peer=peer))  # repeated: no second fault
    sink.export(batch(records[3], peer=peer))
    sink.shutdown()
    assert caplog.text.count("security event") == 1
    found = verify(database, key())
    assert (found.records, found.quarantined) == (3, 0)
    assert len(found.chains) == 1


def test_a_chain_continues_over_a_restart_of_the_sink(open_sink, record, batch, caplog):
    records = chained(record, 5)
    for number in (0, 1):
        sink = open_sink()
        sink.export(batch(records[number]))
        sink.shutdown()
    sink = open_sink()
    sink.export(batch(records[2]))
    assert "security event" not in caplog.text
    sink.export(batch(*chained(record, 2)[1:]))
    assert "already has number 2" in caplog.text


def test_a_sink_starts_on_a_log_whose_leaf_was_changed(open_sink, log, record, batch, key):
    from .conftest import change

    change(log, "UPDATE audit_log SET leaf = 'no JSON' WHERE leaf_index = 3")
    sink = open_sink()
    sink.export(batch(*chained(record, 2)))
    sink.shutdown()
