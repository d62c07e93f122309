"""The index of ids, with runs of a few records."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing

import pytest

from assay.exporters.audit import AuditLogError, OpenError, Query, _ids, query, verify
from assay.exporters.audit._id_filter import IdFilter
from assay.exporters.audit._id_product import IdProduct, random_point
from assay.exporters.audit._ids import find, key_of, parts, within
from assay.exporters.audit._sqlite import open_writer
from assay.host import Rejected

from .conftest import make_batch, make_record

UUID = "6f1c2a30-0000-4000-8000-000000000000"


@pytest.fixture
def small(monkeypatch, open_sink):
    """A sink that makes a run of 16 ids."""
    monkeypatch.setattr(_ids, "RUN", 16)
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


def test_runs_are_merged_and_their_ids_stay_unique(database, batch, key, monkeypatch, open_sink):
    monkeypatch.setattr(_ids, "RUN", 4)
    ids = [str(uuid.uuid4()) for _ in range(150)]
    records = [make_record(record_id=each) for each in ids]
    for start in (0, 70):  # a sink that starts again knows the ids of its runs
        sink = open_sink()
        for first in range(start, start + 80, 5):
            sink.export(batch(*records[first : first + 5]))
        for known in (0, start, start + 33, start + 79):
            with pytest.raises(Rejected, match="another record with this id"):
                sink.export(batch(make_record(record_id=ids[known])))
        sink.shutdown()
    with closing(sqlite3.connect(database)) as connection:
        sizes = [size for (size,) in connection.execute("SELECT size FROM id_runs ORDER BY run")]
        counted = connection.execute("SELECT count(*) FROM ids GROUP BY run ORDER BY run").fetchall()
        assert sizes == [size for (size,) in counted]
        assert [size for size in sizes if size >= 32] == [40, 40, 40]
        assert len(sizes) < 3 + 8
        for index, stored in connection.execute("SELECT leaf_index, id FROM audit_log"):
            assert find(connection, stored) == index
    assert verify(database, key()).records == 150


def fail_with(connection, ids):
    with connection.transaction():
        connection.add_ids(ids)
        raise InterruptedError


def test_a_transaction_that_fails_leaves_the_index_as_it_was(monkeypatch, database):
    monkeypatch.setattr(_ids, "RUN", 4)
    with open_writer(database) as connection:
        for number in range(70):
            ids = [(f"a{number}", number), (f"b{number}", number)]
            with pytest.raises(InterruptedError):
                fail_with(connection, [*ids, (f"c{number}", number)])
            with connection.transaction():
                connection.add_ids(ids)
        with pytest.raises(sqlite3.IntegrityError), connection.transaction():
            connection.add_ids([("a3", 200)])
        assert sorted(index for _, index in connection.ids(0)) == sorted([*range(70)] * 2)


@pytest.mark.parametrize("table", ["ids", "recent_ids", "id_runs"])
def test_an_emptied_index_is_found(small, database, batch, key, table):
    small.export(batch(*(make_record() for _ in range(20))))
    small.export(batch(*(make_record() for _ in range(5))))
    small.shutdown()
    connection = sqlite3.connect(database)
    connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()
    with pytest.raises(Exception, match="index of ids"):
        verify(database, key())


@pytest.mark.parametrize("at_once", [400, 2])
def test_an_id_that_two_records_have_is_found(database, key, monkeypatch, open_sink, at_once):
    monkeypatch.setattr(_ids, "RUN", 4)
    sink = open_sink()
    sink.export(make_batch(*(make_record() for _ in range(9)), make_record(record_id=UUID)))
    sink.export(make_batch(*(make_record() for _ in range(9))))
    monkeypatch.setattr(IdFilter, "possible", lambda *_: [])  # as a defect of the filter would
    sink.export(make_batch(make_record(record_id=UUID)))
    sink.export(make_batch(*(make_record() for _ in range(9))))
    sink.shutdown()
    monkeypatch.setattr(_ids, "_MERGED_AT_ONCE", at_once)
    with pytest.raises(AuditLogError, match="has an id twice: of the leaves 9 and 19"):
        verify(database, key())


def test_a_changed_size_of_a_run_is_found(small, database, batch, key, open_sink):
    small.export(batch(*(make_record() for _ in range(20))))
    small.shutdown()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE id_runs SET size = 1000000000000")
    with pytest.raises(AuditLogError, match="run 1 of the index of ids"):
        verify(database, key())
    with pytest.raises(OpenError, match="changed by another program: run 1 of the index of ids"):
        open_sink()


POINT = 2**200 + 12345
IDS = [
    *((bytes([each]) * 16, each) for each in (0, 1, 7, 8, 127, 128, 255)),
    *((bytes([each]) * 32, 9) for each in (0, 255)),  # PostgreSQL's keys of ids that are not UUIDs
    *((other, 5) for other in ("", "order-17", "x" * 5000, 17, 1.5, None)),
    (b"\x07" * 16, 3.5),
    (b"\x07" * 16, "7"),
    (b"\x07" * 16, -7),
]


def product(ids, point=POINT):
    found = IdProduct(point)
    for each in ids:
        found.add(*each)
    return found.value


def test_products_depend_on_the_ids_and_their_leaves_and_not_on_their_order():
    whole = product(IDS)
    assert whole == product(reversed(IDS))
    all_at_once, parts_of_it = IdProduct(POINT), IdProduct(POINT)
    all_at_once.add_all(IDS)
    for first in range(0, len(IDS), 4):
        parts_of_it.merge(product(IDS[first : first + 4]))
    assert all_at_once.value == parts_of_it.value == whole
    for one in range(len(IDS)):
        others = IDS[:one] + IDS[one + 1 :]
        assert product(others) != whole
        assert product([*IDS, IDS[one]]) != whole
        assert product([*others, (IDS[one][0], 4711)]) != whole
    swapped = [(IDS[0][0], IDS[1][1]), (IDS[1][0], IDS[0][1]), *IDS[2:]]
    assert product(swapped) != whole


def test_each_verification_has_its_own_point():
    assert len({random_point() for _ in range(10)}) == 10


def test_each_key_is_in_one_range_of_keys():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE keys (id ANY, leaf_index ANY)")
        stored = [each for each in IDS if each[0] is not None]
        connection.executemany("INSERT INTO keys VALUES (?, ?)", stored)
        found = []
        for each in parts(32):
            condition, values = within("id", each)
            found += connection.execute(f"SELECT id FROM keys WHERE 1{condition}", values).fetchall()
        assert len(found) == len(stored)
        assert len(list(parts(32))) == 32


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


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ids SET id = zeroblob(16) WHERE leaf_index = 3",
        "UPDATE ids SET leaf_index = 4 WHERE leaf_index = 3",
        "UPDATE ids SET leaf_index = 7 - leaf_index WHERE leaf_index IN (3, 4)",
        "UPDATE ids SET run = 99 WHERE leaf_index = 3",
        "UPDATE id_runs SET run = 99",
        "DELETE FROM ids WHERE leaf_index = 3",
        "INSERT INTO ids SELECT 99, id, leaf_index FROM ids WHERE leaf_index = 3",
    ],
)
def test_a_changed_run_is_found(small, database, batch, key, change):
    small.export(batch(*(make_record() for _ in range(20))))
    small.shutdown()
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(change).rowcount > 0
    with pytest.raises(AuditLogError, match="index of ids"):
        verify(database, key())
