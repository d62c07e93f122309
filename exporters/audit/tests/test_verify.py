"""Verification finds every change to a log's database and names it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3

import orjson
import pytest

from assay.exporters.audit import (
    OpenError,
    Query,
    RollbackError,
    SignatureError,
    VerificationError,
    VerifierKey,
    query,
)
from assay.exporters.audit._keys import load_or_create
from assay.proof.note import Checkpoint, sign
from assay.proof.tree import Frontier, leaf_hash

from .conftest import LEAVES, change, column_of, forge, other_value, rows, table_of
from .in_parts import verify_in_parts as verify

pytestmark = pytest.mark.stores("sqlite", "postgresql")

COLUMNS = {
    "audit_log": [
        "leaf_index",
        *("id", "event_type", "actor_id", "actor_type", "resource_type", "resource_id", "action", "details"),
        *("correlation_id", "client_ip", "user_agent", "inserted_at"),
        *("integrity_hash", "leaf", "leaf_hash"),
    ],
    "quarantine": [
        *("leaf_index", "digest", "kind", "record_id", "reason", "encoding", "payload"),
        *("inserted_at", "sink_time_unix_nano", "leaf", "leaf_hash"),
    ],
    "nodes": ["level", "node_index", "hash"],
    "checkpoints": ["size", "note"],
    "recent_ids": ["id", "leaf_index"],
    "meta": ["name", "value"],
}
IDENTITY = {"nodes": "node_index", "recent_ids": "id"}  # tables without a rowid
MIDDLE = "LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {})"


@pytest.mark.stores("sqlite")
def test_the_columns_above_are_complete(log):
    for table, columns in COLUMNS.items():
        assert [row[1] for row in rows(log, f"PRAGMA table_info({table})")] == columns


def test_an_untouched_log_verifies(log, key):
    found = verify(log, key(), checkpoint=log.with_name("checkpoint").read_text())
    assert (found.records, found.quarantined, found.covered) == (40, 3, 43)
    assert found.checkpoints > 3


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize(("table", "column"), [(t, c) for t, columns in COLUMNS.items() for c in columns])
def test_any_changed_value_is_found(log, key, table, column):
    """The new value has the column's type; the row is in the middle of the table."""
    identity = IDENTITY.get(table, "rowid")
    middle = MIDDLE.format(table)
    (row, old) = rows(log, f"SELECT {identity}, {column} FROM {table} {middle}")[0]
    change(log, (f"UPDATE {table} SET {column} = ? WHERE {identity} = ?", (other_value(old), row)))
    with pytest.raises(VerificationError):
        verify(log, key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("column", [c for c in COLUMNS["audit_log"] if c != "leaf_index"])
def test_the_record_that_was_changed_is_named(log, key, column):
    (record_id, old) = rows(log, f"SELECT id, {column} FROM audit_log WHERE leaf_index = 21")[0]
    change(log, (f"UPDATE audit_log SET {column} = ? WHERE leaf_index = 21", (other_value(old),)))
    with pytest.raises(VerificationError, match=record_id):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_a_changed_record_is_named_although_its_trigger_was_dropped(log, key):
    connection = sqlite3.connect(log)
    connection.execute("DROP TRIGGER audit_log_no_update")
    connection.execute("UPDATE audit_log SET actor_id = 'mallory' WHERE leaf_index = 3")
    connection.commit()
    connection.close()
    with pytest.raises(VerificationError, match=r"leaf 3.*actor_id is 'mallory'"):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_each_byte_of_a_leaf_counts(log, key):
    (leaf,) = rows(log, "SELECT leaf FROM audit_log WHERE leaf_index = 7")[0]
    for place in range(0, len(leaf), 101):
        other = leaf[:place] + chr(ord(leaf[place]) ^ 1) + leaf[place + 1 :]
        change(log, ("UPDATE audit_log SET leaf = ? WHERE leaf_index = 7", (other,)))
        with pytest.raises(VerificationError, match="leaf 7"):
            verify(log, key())


def test_a_record_rewritten_with_all_its_hashes_is_found(log, key):
    """As an attacker would who knows the format and lacks the signing key."""
    (leaf,) = rows(log, "SELECT leaf FROM audit_log WHERE leaf_index = 7")[0]
    forged = leaf.replace("alice@example.com", "bob@example.com!!")
    sql = (
        "UPDATE audit_log SET leaf = ?, leaf_hash = ?, actor_id = ?, integrity_hash = ? WHERE leaf_index = 7"
    )
    start = forged.index('"record":') + 9
    digest = hashlib.sha256(forged[start : forged.rindex(',"resource":{"attributes"')].encode()).digest()
    change(log, (sql, (forged, leaf_hash(forged.encode()), "bob@example.com!!", digest)))
    with pytest.raises(VerificationError, match="checkpoint 10: entries 0 to 9"):
        verify(log, key())
    leaves = [row[0] for row in rows(log, LEAVES)]
    nodes = Frontier().extend(leaves)
    change(
        log,
        *(("UPDATE nodes SET hash = ? WHERE level = ? AND node_index = ?", (h, lv, i)) for lv, i, h in nodes),
    )
    with pytest.raises(VerificationError, match="checkpoint 10: entries 0 to 9"):
        verify(log, key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("table", COLUMNS)
@pytest.mark.parametrize("which", ["min", "max"])
def test_a_deleted_row_is_found(log, key, table, which):
    identity = IDENTITY.get(table, "rowid")
    change(log, f"DELETE FROM {table} WHERE {identity} = (SELECT {which}({identity}) FROM {table})")
    kept = log.with_name("checkpoint").read_text()
    with pytest.raises(VerificationError):
        verify(log, key(), checkpoint=kept)


def test_an_inserted_row_is_found(log, key):
    columns = ", ".join(COLUMNS["audit_log"][2:])
    change(
        log,
        f"INSERT INTO audit_log SELECT 40 + 3, 'forged', {columns} FROM audit_log WHERE leaf_index = 1",
        keep_triggers=True,
    )
    with pytest.raises(VerificationError, match="forged"):
        verify(log, key())


def test_swapped_rows_are_found(log, key):
    change(
        log,
        *(
            f"UPDATE audit_log SET leaf_index = {to} WHERE leaf_index = {of}"
            for of, to in [(3, -1), (4, 3), (-1, 4)]
        ),
    )
    with pytest.raises(VerificationError, match=r"entries 0 to 9 .*swapped"):
        verify(log, key())


def test_a_moved_record_is_named(log, key):
    (record_id,) = rows(log, "SELECT id FROM audit_log WHERE leaf_index = 3")[0]
    change(log, "UPDATE audit_log SET leaf_index = 500 WHERE leaf_index = 3")
    with pytest.raises(VerificationError, match=f"leaf 3 is missing.*{record_id}"):
        verify(log, key())


def test_a_removed_tail_is_found(log, key):
    change(
        log,
        "DELETE FROM quarantine",
        "DELETE FROM audit_log WHERE leaf_index >= 30",
        "DELETE FROM nodes WHERE FALSE",
    )
    with pytest.raises(VerificationError, match="its tail was removed"):
        verify(log, key())


def test_a_checkpoint_kept_elsewhere_reveals_a_rolled_back_log(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, log, key, record, batch, copy_of
):
    backup = copy_of(log)
    sink = open_sink()
    sink.export(batch(record()))
    sink.shutdown()
    kept = log.with_name("checkpoint").read_text()
    verify(backup, key())  # without the checkpoint it verifies
    with pytest.raises(RollbackError, match="covers 44 entries, the log has 43"):
        verify(backup, key(), checkpoint=kept)


def test_a_checkpoint_kept_elsewhere_reveals_a_log_rewritten_with_its_own_key(log, key):
    forged = sign(Checkpoint(key().name, 20, bytes(32)), load_or_create(log.with_name("signing.key")))
    with pytest.raises(RollbackError, match="rewritten"):
        verify(log, key(), checkpoint=forged)


def test_a_tree_that_was_rewritten_and_signed_again_from_its_start_contradicts_a_kept_checkpoint(log, key):
    """The owner of the log: the key, and every row, hash, node and checkpoint."""
    kept = dict(rows(log, "SELECT size, note FROM checkpoints"))
    (leaf,) = rows(log, "SELECT leaf FROM audit_log WHERE leaf_index = 7")[0]
    forged = leaf.replace("alice@example.com", "bob@example.com!!")
    start = forged.index('"record":') + 9
    digest = hashlib.sha256(forged[start : forged.rindex(',"resource":{"attributes"')].encode()).digest()
    update = (
        "UPDATE audit_log SET leaf = ?, leaf_hash = ?, actor_id = ?, integrity_hash = ? WHERE leaf_index = 7"
    )
    change(log, (update, (forged, leaf_hash(forged.encode()), "bob@example.com!!", digest)))
    leaves = [row[0] for row in rows(log, LEAVES)]
    nodes = Frontier().extend(leaves)
    signing = load_or_create(log.with_name("signing.key"))
    resigned = []
    for size in kept:
        tree = Frontier()
        tree.extend(leaves[:size])
        resigned.append((sign(Checkpoint(key().name, size, tree.root()), signing), size))
    change(
        log,
        *(("UPDATE nodes SET hash = ? WHERE level = ? AND node_index = ?", (h, lv, i)) for lv, i, h in nodes),
        *(("UPDATE checkpoints SET note = ? WHERE size = ?", values) for values in resigned),
    )
    verify(log, key())  # nothing within the database contradicts it
    verify(log, key(), checkpoint=kept[0])  # the change came later
    for size in (10, 43):
        with pytest.raises(RollbackError, match="rewritten"):
            verify(log, key(), checkpoint=kept[size])


def test_a_replaced_key_is_found(log, key, tmp_path):
    other = VerifierKey(key().name, load_or_create(tmp_path / "other.key").public_key().public_bytes_raw())
    with pytest.raises(VerificationError, match="replaced"):
        verify(log, other)
    change(log, ("UPDATE meta SET value = ? WHERE name = 'verifier_key'", (str(other),)))
    with pytest.raises(SignatureError, match="checkpoint 0"):
        verify(log, other)
    with pytest.raises(VerificationError, match="replaced"):
        verify(log, key())


def test_a_log_without_checkpoints_does_not_verify(log, key):
    change(log, "DELETE FROM checkpoints")
    with pytest.raises(SignatureError, match="has no checkpoint"):
        verify(log, key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize(
    "definition", ["TRIGGER nodes_no_delete", "INDEX idx_quarantine_record", "VIEW flowstone_audit_log"]
)
def test_a_dropped_definition_is_found(log, key, definition):
    change(log, f"DROP {definition}", keep_triggers=True)
    with pytest.raises(VerificationError, match=definition.split()[1]):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_a_changed_view_is_found(log, key):
    change(
        log,
        "DROP VIEW flowstone_audit_log",
        "CREATE VIEW flowstone_audit_log AS SELECT id FROM audit_log WHERE actor_id <> 'x'",
    )
    with pytest.raises(VerificationError, match="flowstone_audit_log"):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_a_trigger_with_a_name_of_statistics_is_found(log, key):
    """SQLite reserves the prefix, so only a connection that may write the schema can create it."""
    connection = sqlite3.connect(log)
    connection.execute("PRAGMA writable_schema = ON")
    trigger = (
        "CREATE TRIGGER sqlite_stat_guard BEFORE INSERT ON audit_log"
        " WHEN NEW.actor_id = 'mallory' BEGIN SELECT RAISE(IGNORE); END"
    )
    row = ("trigger", "sqlite_stat_guard", "audit_log", 0, trigger)
    connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    with pytest.raises(VerificationError, match="sqlite_stat_guard"):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_statistics_of_analyze_are_allowed(log, key):
    change(log, "ANALYZE", keep_triggers=True)
    verify(log, key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sqlite_master SET rootpage = {ids} WHERE name = 'recent_ids'",
        "UPDATE sqlite_master SET rootpage = {nodes} WHERE name = 'recent_ids'",
        "UPDATE sqlite_master SET rootpage = {ids} WHERE name = 'idx_quarantine_record'",
    ],
)
def test_an_index_whose_pages_were_swapped_is_found(log, key, statement):
    roots = dict(rows(log, "SELECT name, rootpage FROM sqlite_master"))
    change(log, "PRAGMA writable_schema = ON", statement.format(**roots), keep_triggers=True)
    with pytest.raises(VerificationError):
        verify(log, key())


def test_ids_that_lead_to_each_others_records_are_found(log, key):
    table, key_column = table_of(log, "recent_ids"), column_of(log, "recent_ids", "id")
    (one, at_one), (two, at_two) = rows(log, f"SELECT {key_column}, leaf_index FROM {table} LIMIT 2")
    update = f"UPDATE {table} SET leaf_index = ? WHERE {key_column} = ?"
    change(log, (update, (at_two, one)), (update, (at_one, two)))
    with pytest.raises(VerificationError, match="index of ids"):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_a_damaged_file_is_reported(log, key):
    data = bytearray(log.read_bytes())
    for place in range(4096, len(data), 4096):
        data[place : place + 64] = b"\xff" * 64
    log.write_bytes(data)
    with pytest.raises(VerificationError, match="damaged"):
        verify(log, key())


@pytest.mark.parametrize("time", ["9" * 30, "x", None])
def test_a_leaf_that_is_not_a_record_is_reported(log, key, time):
    (leaf,) = rows(log, "SELECT leaf FROM audit_log WHERE leaf_index = 7")[0]
    forged = orjson.dumps({**orjson.loads(leaf), "sinkTimeUnixNano": time}).decode()
    sql = "UPDATE audit_log SET leaf = ?, leaf_hash = ? WHERE leaf_index = 7"
    change(log, (sql, (forged, leaf_hash(forged.encode()))))
    with pytest.raises(VerificationError, match="leaf 7"):
        verify(log, key())


@pytest.mark.stores("sqlite")
def test_entries_in_the_write_ahead_log_of_a_killed_sink_are_read(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, tmp_path
):
    """The database file alone, without the write-ahead log, holds an older state."""
    sink = open_sink()
    sink.export(batch(record()))
    for name in ("log.db", "log.db-wal"):
        shutil.copy(database.with_name(name), tmp_path / name)
    shared = tmp_path / "log.db-shm"
    shared.symlink_to("/nowhere/at-all")  # SQLite cannot create it, as in a read-only folder
    with pytest.raises(OpenError, match=r"log\.db-wal holds entries.*copy both"):
        verify(tmp_path / "log.db", key())
    shared.unlink()
    assert verify(tmp_path / "log.db", key()).records == 1


@pytest.mark.stores("sqlite")
def test_a_file_that_is_not_a_log_is_reported(tmp_path, key, log):
    with pytest.raises(OpenError, match="no such file"):
        verify(tmp_path / "missing.db", key())
    (tmp_path / "other.db").write_bytes(b"x" * 4096)
    with pytest.raises(OpenError):
        verify(tmp_path / "other.db", key())


def test_a_forgery_with_consistent_hashes_contradicts_the_signers_checkpoint(log, key):
    """Write access to the database, but not to the folder of the key: everything is recomputed, and the
    checkpoints that contradict the forgery are removed."""
    kept = log.with_name("signing.key.checkpoint").read_text()
    forge(log, "bob@example.com!!")
    forged = verify(log, key())
    assert (forged.kept, forged.covered) == (None, 30)  # nothing in the database contradicts it
    with pytest.raises(RollbackError, match="contradicts the checkpoint"):
        verify(log, key(), checkpoint=kept)


@pytest.mark.parametrize("size", [0, 7, 42, 43])
def test_a_verification_continues_from_a_checkpoint(log, key, size):
    notes = dict(rows(log, "SELECT size, note FROM checkpoints"))
    since = notes[min(notes, key=lambda each: abs(each - size))]
    found = verify(log, key(), since=since, checkpoint=notes[43])
    assert (found.records, found.quarantined, found.covered) == (40, 3, 43)
    change(log, "UPDATE audit_log SET actor_id = 'mallory' WHERE leaf_index = 39")
    if found.first <= 39:
        with pytest.raises(VerificationError, match="leaf 39"):
            verify(log, key(), since=since)


def test_the_removal_of_a_middle_checkpoint_is_detected_only_with_that_checkpoint(log, key):
    notes = dict(rows(log, "SELECT size, note FROM checkpoints"))
    change(log, "DELETE FROM checkpoints WHERE size = 20")
    assert verify(log, key(), checkpoint=notes[43]).checkpoints == len(notes) - 1
    with pytest.raises(RollbackError, match="lacks the checkpoint"):
        verify(log, key(), checkpoint=notes[20])


def test_the_removal_of_the_first_checkpoint_is_detected(log, key):
    change(log, "DELETE FROM checkpoints WHERE size = 0")
    with pytest.raises(VerificationError, match="checkpoint"):
        verify(log, key())


def test_a_verification_does_not_continue_over_other_hashes(log, key):
    notes = dict(rows(log, "SELECT size, note FROM checkpoints"))
    change(log, "UPDATE nodes SET hash = zeroblob(32) WHERE level = 4 AND node_index = 0")
    with pytest.raises(VerificationError, match="verify the whole log"):
        verify(log, key(), since=notes[40])


def test_a_producers_integrity_attributes_are_part_of_the_leaf(open_sink, database, record, batch, key):
    sink = open_sink()
    attributes = {"audit.integrity.signer": "none", "audit.integrity.n": 3.0, "resource": "r"}
    sink.export(batch(record(attributes=attributes)))
    sink.shutdown()
    verify(database, key())
    (found,) = query(database, Query())
    (leaf,) = rows(database, "SELECT leaf FROM audit_log")[0]
    assert orjson.loads(leaf)["integrity"]["audit.integrity.signer"] == {"stringValue": "none"}
    assert "audit.integrity.signer" not in orjson.loads(leaf)["record"]["attributes"]
    assert found["id"] in leaf
