from __future__ import annotations

import pytest

from assay.exporters.cdevents._outbox import DeliveryOutbox, OutboxEntry
from assay.exporters.cdevents.chains import Undelivered, undelivered
from assay.exporters.cdevents.errors import CDEventsError


@pytest.fixture
def path(tmp_path):
    """Return the outbox of a running exporter: one event is sent, one pending, and one a dead letter."""
    path = tmp_path / "outbox.db"
    box = DeliveryOutbox(path)
    box.add(
        OutboxEntry("s", f"id-{number}", "t", f"subject-{number}", chain, f"document {number}")
        for number, chain in enumerate(["c1", "c1", "c1", "c2"])
    )
    sent, dead, *_ = box.due("s", 10)
    box.mark_sent([sent])
    box.mark_dead(dead, "410 Gone")
    yield path
    box.close()


def test_the_pending_events_and_dead_letters_of_a_chain_are_returned(path):
    assert undelivered(path, ["c1"]) == [
        Undelivered("s", "dead", 1, "410 Gone", "document 1"),
        Undelivered("s", "pending", 0, "", "document 2"),
    ]


def test_several_chains_are_returned_and_each_has_a_limit(path):
    assert [each.document for each in undelivered(path, ["c2", "c1"], limit=1)] == [
        "document 3",
        "document 1",
    ]


def test_a_missing_outbox_has_no_events(tmp_path):
    assert undelivered(tmp_path / "absent.db", ["c1"]) == []


def test_a_file_that_is_not_an_outbox_is_named(tmp_path):
    (tmp_path / "outbox.db").write_text("text")
    with pytest.raises(CDEventsError, match=r"outbox\.db: the outbox cannot be read"):
        undelivered(tmp_path / "outbox.db", ["c1"])
