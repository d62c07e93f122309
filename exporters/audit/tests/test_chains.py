"""Broken chains of producers are findings beside the integrity of the log, and never hide a change of it."""

from __future__ import annotations

import re

import pytest

from assay.audit import integrity_hash
from assay.audit.record import to_pairs
from assay.exporters.audit import VerificationError, _sequence, verify

from .conftest import change


def chained(record, count, **change_of):
    links, before = [], None
    for number in range(1, count + 1):
        attributes = {"audit.sequence.stream_id": "s", "audit.sequence.number": number}
        if before is not None:
            attributes["audit.sequence.previous_hash"] = before
        if number == count:
            attributes["audit.sequence.end"] = True
        attributes.update(change_of.get(f"at_{number}", {}))
        links.append(
            record(attributes={key: value for key, value in attributes.items() if value is not None})
        )
        before = integrity_hash(links[-1])
    return links


@pytest.fixture
def stored(open_sink, batch, database, key):
    """Store records, and return the verification of their log."""

    def store(*records):
        sink = open_sink()
        sink.export(batch(*records))
        sink.shutdown()
        return verify(database, key())

    return store


@pytest.mark.stores("sqlite", "postgresql")
def test_a_producers_chain_verifies_in_any_order(stored, record):
    one, two, three = chained(record, 3)
    found = stored(two, one, three)
    assert (found.records, found.chains) == (3, ())


def test_the_first_record_may_have_the_hash_of_nothing(stored, record):
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert stored(*chained(record, 2, at_1={"audit.sequence.previous_hash": empty})).chains == ()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda record: [r for n, r in enumerate(chained(record, 4)) if n != 1], "number 2 is missing"),
        (lambda record: chained(record, 3, at_2={"audit.sequence.previous_hash": "00"}), "does not continue"),
        (lambda record: chained(record, 3, at_2={"audit.sequence.end": True}), "ended with record"),
        (lambda record: [*chained(record, 2), chained(record, 1)[0]], "already has number"),
        (
            lambda record: chained(record, 3, at_2={"audit.sequence.previous_hash": ["x"]}),
            "does not continue",
        ),
        (
            lambda record: chained(record, 3, at_2={"audit.sequence.previous_record_id": ["x"]}),
            "not continue",
        ),
        (lambda record: chained(record, 1, at_1={"audit.sequence.number": True}), "an integer of 1"),
        (lambda record: chained(record, 1, at_1={"audit.sequence.number": 0}), "an integer of 1"),
    ],
)
def test_a_broken_chain_is_listed(stored, record, make, reason):
    (fault,) = stored(*make(record)).chains
    assert fault.stream == "s"
    assert re.search(reason, str(fault))


@pytest.mark.parametrize("number", [0, -1, "1", 2])
def test_a_broken_chain_does_not_hide_a_change_of_the_log(stored, record, database, key, number):
    assert stored(record(attributes={"audit.sequence.number": number}), record(), record()).chains
    change(database, "UPDATE audit_log SET actor_id = 'mallory' WHERE leaf_index = 2")
    with pytest.raises(VerificationError, match="leaf 2"):
        verify(database, key())


@pytest.mark.parametrize(
    "resources",
    [
        [{"service.instance.id": "a"}, {"service.instance.id": "b"}],
        [{"service.name": "orders"}, {"service.name": "ledger"}],
    ],
)
def test_producers_without_a_stream_id_have_chains_of_their_own(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, batch, database, key, record, resources
):
    sink = open_sink()
    for attributes in resources:
        one = batch(*chained(record, 3, **{f"at_{n}": {"audit.sequence.stream_id": None} for n in (1, 2, 3)}))
        del one.request.resource_logs[0].resource.attributes[:]
        one.request.resource_logs[0].resource.attributes.extend(to_pairs(attributes))
        sink.export(one)
    sink.shutdown()
    assert verify(database, key()).chains == ()


def test_records_that_wait_are_bounded(stored, record, monkeypatch):
    monkeypatch.setattr(_sequence, "WAITING", 5)
    (fault,) = stored(*chained(record, 20)[1:]).chains
    assert (fault.faults, "number 1 is missing" in fault.reason) == (1, True)
