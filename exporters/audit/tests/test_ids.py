"""The index of ids, with merges after every few records."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from assay.exporters.audit import AuditLogError, Query, _ids, query, verify
from assay.exporters.audit._ids import IdSum, find, key_of
from assay.host import Rejected

from .conftest import make_record

UUID = "6f1c2a30-0000-4000-8000-000000000000"


@pytest.fixture
def small(monkeypatch, open_sink):
    """A sink that merges after 16 ids."""
    monkeypatch.setattr(_ids, "MERGE", 16)
    return open_sink()


@pytest.mark.parametrize(
    "record_id",
    [UUID.upper(), UUID.replace("-", ""), "order-17", "x" * 5000, "é\x00", "{" + UUID + "}", UUID + "\n"],
)
def test_an_id_that_is_not_a_uuid_in_lower_case_is_its_own_key(record_id):
    assert key_of(record_id) == record_id
    assert len(key_of(UUID)) == 16


def test_ids_are_found_and_unique_across_merges(small, database, record, batch, key):
    ids = [None] * 40 + [UUID, UUID.upper(), "order-17", "x" * 3000]
    records = [record() if each is None else record(record_id=each) for each in ids]
    for first in range(0, len(records), 5):
        small.export(batch(*records[first : first + 5]))
    for again in (records[0], records[-1]):
        assert len(small.export(batch(again)).receipts) == 1
    for known in (UUID, "order-17"):
        with pytest.raises(Rejected, match="another record with this id"):
            small.export(batch(record(record_id=known)))
    small.shutdown()
    connection = sqlite3.connect(database)
    merged = connection.execute("SELECT count(*) FROM ids").fetchone()[0]
    assert 0 < merged < len(records)
    for index, stored in connection.execute("SELECT leaf_index, id FROM audit_log"):
        assert find(connection, stored) == index
    connection.close()
    assert verify(database, key()).records == len(records) == len(list(query(database, Query())))


@pytest.mark.parametrize("table", ["ids", "recent_ids"])
def test_an_emptied_index_is_found(small, database, batch, key, table):
    small.export(batch(*(make_record() for _ in range(20))))
    small.export(batch(*(make_record() for _ in range(5))))
    small.shutdown()
    connection = sqlite3.connect(database)
    (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'ids_no_delete'").fetchone()
    connection.execute("DROP TRIGGER ids_no_delete")
    connection.execute(f"DELETE FROM {table}")
    connection.execute(trigger)
    connection.commit()
    connection.close()
    with pytest.raises(Exception, match="index of ids"):
        verify(database, key())


SUM = """
from assay.exporters.audit._ids import IdSum
found = IdSum()
found.add(bytes(16), 1)
print(found.value)
"""


def test_nobody_can_know_a_sum_of_ids_beforehand():
    sums = {
        subprocess.run(
            [sys.executable, "-c", SUM],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(sums) == 2


@pytest.mark.parametrize("other", ["order-00017", 17, 1.5])
def test_ids_of_other_types_have_other_sums(other):
    uuid, found = IdSum(), IdSum()
    uuid.add(f"text:{other}".encode().ljust(16), 1)
    found.add(other, 1)
    assert uuid.value != found.value


@pytest.mark.parametrize("forged", ["17", "1.5", "'another'", "zeroblob(16)"])
def test_a_forged_id_in_the_index_is_found(small, database, batch, key, forged):
    small.export(batch(*(make_record() for _ in range(3))))
    small.shutdown()
    connection = sqlite3.connect(database)
    connection.execute(f"UPDATE recent_ids SET id = {forged} WHERE leaf_index = 1")
    connection.commit()
    connection.close()
    with pytest.raises(AuditLogError, match="index of ids differs"):
        verify(database, key())
