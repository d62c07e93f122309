"""The filter before the index of ids."""

from __future__ import annotations

import uuid

import pytest

from assay.exporters.audit import _id_filter
from assay.exporters.audit._id_filter import IdFilter


@pytest.fixture
def small(monkeypatch):
    """A filter whose first part has room for 4,096 ids."""
    monkeypatch.setattr(_id_filter, "FIRST", 4096)
    return IdFilter(0)


def new_ids(count):
    return [*(uuid.uuid4().bytes for _ in range(count - 2)), "order-17" * 3, str(uuid.uuid4())]


def test_it_knows_each_id_that_was_added_however_it_has_grown(small):
    added = []
    for _ in range(20):
        batch = new_ids(1000)
        small.make_room(len(added) + 1000)
        small.add(batch)
        added += batch
    assert set(added) <= set(small.possible(added))


def test_few_new_ids_seem_to_be_there(small):
    for size in range(1000, 17_000, 1000):
        small.make_room(size)
        small.add([uuid.uuid4().bytes for _ in range(1000)])
    assert len(small.possible([uuid.uuid4().bytes for _ in range(10_000)])) < 200


def test_ids_beyond_its_room_are_known(small):
    added = new_ids(50_000)
    small.add(added)
    assert set(added) <= set(small.possible(added))
