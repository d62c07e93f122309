"""The oldest entries leave the log as an archive; the log, its proofs and its ids stay whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assay.exporters.audit import (
    ArchivedError,
    AuditLogError,
    InUseError,
    NotFoundError,
    OpenError,
    Policy,
    Query,
    QuorumError,
    SignatureError,
    VerificationError,
    VerifierKey,
    _archive,
    archive,
    archives,
    consistency,
    export_records,
    export_tiles,
    newest_checkpoint,
    prove,
    prove_archived,
    quarantined,
    quarantined_payload,
    query,
    verify_archive,
    verify_export,
    verify_proof,
)
from assay.exporters.audit._keys import load_or_create
from assay.exporters.audit._receipts import _quarantined, stored_receipt
from assay.exporters.audit._storage import open_read_only
from assay.exporters.audit._tiles import Tile, read_tile
from assay.host import Batch, Rejected
from assay.proof.cosignature import WitnessKey, cosign, cosignatures

from .conftest import change, make_batch, make_record, other_value, owners, rows
from .in_parts import verify_in_parts as verify
from .test_chains import chained

pytestmark = pytest.mark.stores("sqlite", "postgresql")

NAMES = ("0-20", "21-38")  # of the archives of June and of July
FILES = ("archive.json", "entries.jsonl", "payloads.jsonl")


def nanoseconds(month: int) -> int:
    return int(dt.datetime(2025, month, 15, tzinfo=dt.timezone.utc).timestamp()) * 10**9


def batch_of(month: int, *records, peer: str = "direct") -> Batch:
    """Return a batch that the sink received in a month of 2025."""
    batch = make_batch(*records, peer=peer)
    return Batch("audit", batch.request, batch.payload, "protobuf", peer, nanoseconds(month))


def record_of(month: int, number: int, **change):
    times = {"time_unix_nano": nanoseconds(month), "observed_time_unix_nano": nanoseconds(month)}
    record_id = f"00000000-0000-4000-8000-{month:06d}{number:06d}"
    return make_record(**{"record_id": record_id, "target_id": f"{month}-{number}", **times, **change})


def id_of(month: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{month:06d}{number:06d}"


def unreadable(month: int) -> Batch:
    return Batch("audit", None, b"\xff\xff", "protobuf", "collector", nanoseconds(month), "cannot be parsed")


INVALID = {"actor_type": "robot", "record_id": "q\0"}


@pytest.fixture
def months(open_sink, database):
    """A closed log: June has leaves 0 to 20, July 21 to 38, August 39 to 48; 4 entries are in quarantine."""
    sink = open_sink(checkpoint_records=7)
    for month, numbers in ((6, 18), (7, 17), (8, 10)):
        for number in range(numbers):
            sink.export(batch_of(month, record_of(month, number)))
        if month == 6:
            sink.export(
                batch_of(6, record_of(6, 90, **INVALID), record_of(6, 91, event_name=""), peer="collector")
            )
            sink.export(unreadable(6))
        if month == 7:
            sink.export(batch_of(7, record_of(7, 90, **{**INVALID, "record_id": "q7"}), peer="collector"))
    sink.shutdown()
    return database


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archives"


@pytest.fixture
def archived(months, key, folder):
    """The log after June and July were archived."""
    archive(owners(months), key(), "2025-07", folder)
    archive(owners(months), key(), "2025-08", folder)
    return months


def count(database, table):
    return rows(database, f"SELECT count(*) FROM {table}")[0][0]


def test_entries_before_a_month_move_to_an_archive(months, key, folder):
    before = verify(months, key())
    (found,) = archive(owners(months), key(), "2025-07", folder)
    assert (found.first, found.end, found.name, found.older_than) == (
        0,
        21,
        "0-20",
        "2025-07-01T00:00:00.000000Z",
    )
    assert archives(months) == [found]
    assert (count(months, "audit_log"), count(months, "quarantine"), count(months, "archived")) == (27, 1, 21)
    alone = verify_archive(folder / "0-20", key())
    assert (alone.quarantined, alone.sha256, alone.checkpoint.size) == (3, found.sha256, 49)
    assert alone.manifest.keys == [str(key())]
    export = verify_export(folder / "0-20" / "entries.jsonl", key())
    assert (export.first, export.count, export.quarantined) == (0, 21, 3)
    live, whole = verify(months, key()), verify(months, key(), archives=folder)
    assert (live.archives, live.archives_verified, whole.archives_verified) == ((found,), False, True)
    for each in (live, whole):
        assert (each.records, each.quarantined, each.root) == (
            before.records,
            before.quarantined,
            before.root,
        )
    assert archive(owners(months), key(), "2025-07", folder) == []


def test_archives_follow_each_other_until_the_database_is_empty(archived, key, folder):
    assert tuple(each.name for each in archives(archived)) == NAMES
    assert archive(owners(archived), key(), "1d", folder)[0].name == "39-48"
    assert (count(archived, "audit_log"), count(archived, "quarantine")) == (0, 0)
    assert not list(query(archived, Query()))
    found = verify(archived, key(), archives=folder)
    assert (found.records, found.quarantined, found.covered) == (45, 4, 49)


def test_the_log_goes_on_after_an_archive(archived, open_sink, key, folder, tmp_path):
    older = dict(rows(archived, "SELECT size, note FROM checkpoints"))
    archive(owners(archived), key(), "1d", folder)
    sink = open_sink()
    sink.export(make_batch(make_record(record_id="new")))
    sink.shutdown()
    newest = newest_checkpoint(archived)
    for size, note in older.items():
        assert consistency(archived, note, newest, key()).startswith(f"old {size}\n")
        assert verify(archived, key(), checkpoint=note, archives=folder).records == 46
    assert verify_proof(prove(archived, "new"), key()).record_id == "new"
    assert [found["id"] for found in query(archived, Query())] == ["new"]
    for since in older.values():
        assert verify(archived, key(), since=since).records == 46
        assert verify(archived, key(), since=since, archives=folder).records == 46


def test_the_sink_knows_archived_entries(archived, open_sink, key):
    sink = open_sink()
    same = record_of(6, 3)
    known = sink.export(batch_of(8, same)).receipts
    assert known == [sink._log.receipt(id_of(6, 3))]
    assert known[0]["sink_timestamp"] == str(nanoseconds(6))
    with pytest.raises(Rejected, match="another record with this id"):
        sink.export(batch_of(8, record_of(6, 3, action="REJECT")))
    sink.export(unreadable(8))
    sink.export(batch_of(8, record_of(6, 90, **INVALID), peer="collector"))
    size = sink._log.size
    sink.shutdown()
    assert size == 49
    assert verify(archived, key()).records == 45
    connection = open_read_only(archived)
    assert stored_receipt(connection, id_of(6, 3)) == known[0]
    assert _quarantined(connection, "q\0") == "its reason is archived, in '0-20'"
    assert _quarantined(connection, "unknown") is None
    connection.close()


def test_an_archived_entry_is_answered_with_its_place_and_hash(archived, folder):
    place = r"leaf 3\b.* is archived, in '0-20'; its leaf hash is [0-9a-f]{64}"
    for entry in (id_of(6, 3), 3):
        with pytest.raises(ArchivedError, match=place):
            prove(archived, entry)
    with pytest.raises(ArchivedError, match="is archived, in '21-38'"):
        prove(archived, "q7")
    with pytest.raises(ArchivedError, match="is archived, in '0-20'"):
        quarantined_payload(archived, 20)
    with pytest.raises(NotFoundError, match="does not contain"):
        prove(archived, 100)
    assert not list(quarantined(archived))


def test_an_archived_entry_is_proven_from_its_archive(archived, key, folder):
    for entry, form in ((id_of(6, 3), "tlog-proof"), (38, "json"), (id_of(7, 0), "json"), (20, "tlog-proof")):
        proven = verify_proof(prove_archived(folder, entry, form), key())
        assert entry in (proven.index, proven.record_id)
    assert verify_proof(prove_archived(folder / "21-38", "q7"), key()).is_quarantined
    for entry in (id_of(8, 1), 39, "203.0.113.7"):
        with pytest.raises(NotFoundError, match="does not contain a"):
            prove_archived(folder, entry)
    with pytest.raises(OpenError, match="neither an archive nor a folder"):
        prove_archived(folder.parent, 3)


def test_an_export_of_an_archived_period_is_refused(archived, key, tmp_path):
    places = "entries before 2025-08-01T00:00:00.000000Z are archived, in '0-20', '21-38'"
    for since in (None, "2025-07-31"):
        with pytest.raises(ArchivedError, match=places):
            export_records(archived, tmp_path / "file", since=since)
    assert export_records(archived, tmp_path / "file", since="2025-08-01") == 10


def test_tiles_of_hashes_stay_and_archived_bundles_are_pruned(months, key, folder, tmp_path):
    export_tiles(months, tmp_path / "tiles")
    connection = open_read_only(months)
    before = read_tile(connection, Tile.parse("tile/0/000.p/49"), 49)
    connection.close()
    archive(owners(months), key(), "2025-07", folder)
    connection = open_read_only(months)
    assert read_tile(connection, Tile.parse("tile/0/000.p/49"), 49) == before
    with pytest.raises(ArchivedError, match="leaf 0 is archived"):
        read_tile(connection, Tile.parse("tile/entries/000.p/49"), 49)
    connection.close()
    export_tiles(months, tmp_path / "tiles")  # completes a folder
    export_tiles(months, tmp_path / "pruned")
    assert (tmp_path / "tiles" / "tile/entries/000.p/49").exists()
    assert not (tmp_path / "pruned" / "tile/entries").exists()


def test_chains_are_checked_with_the_archives(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, folder
):
    sink = open_sink()
    one, _, three = chained(record, 3)
    sink.export(batch(one, three))
    sink.shutdown()
    archive(owners(database), key(), "0s", folder)
    assert verify(database, key()).chains == ()
    assert "number 2 is missing" in str(verify(database, key(), archives=folder).chains[0])


def test_many_entries_are_archived_in_parts(months, key, folder, monkeypatch):
    monkeypatch.setattr(_archive, "MOST", 15)
    found = archive(owners(months), key(), "2025-08", folder)
    assert [(each.first, each.end) for each in found] == [(0, 15), (15, 21), (21, 36), (36, 39)]
    assert verify(months, key(), archives=folder).records == 45


def test_an_archive_has_the_entries_of_a_month(months, key, folder):
    found = archive(owners(months), key(), "2025-08", folder)
    ends = ("2025-07-01T00:00:00.000000Z", "2025-08-01T00:00:00.000000Z")
    assert [(each.name, each.older_than) for each in found] == list(zip(NAMES, ends, strict=True))
    assert _archive._next_month("2025-12-31T23:59:59.999999Z") == "2026-01-01T00:00:00.000000Z"


def test_entries_of_a_later_month_between_older_ones_stay(open_sink, database, key, folder):
    """Clocks of several hosts differ: an archive ends at the first entry that is too new."""
    sink = open_sink()
    for month, number in ((6, 1), (6, 2), (7, 1), (6, 3), (8, 1)):
        sink.export(batch_of(month, record_of(month, number)))
    sink.shutdown()
    assert archive(owners(database), key(), "2025-07", folder)[0].end == 2
    assert archive(owners(database), key(), "2025-08", folder)[0].name == "2-3"
    assert verify(database, key(), archives=folder).records == 5


def test_an_entry_that_no_checkpoint_covers_stays(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, folder
):
    sink = open_sink(checkpoint_seconds=3600)
    sink.export(batch(record()))
    sink._log.checkpoint()
    sink.export(batch(record()))
    sink._log._opened.close()  # as if it were killed
    sink._closed.set()
    assert archive(owners(database), key(), "0s", folder)[0].end == 1
    assert verify(database, key(), archives=folder).records == 2


@pytest.mark.parametrize("before", ["2999-01", "2025-13", "yesterday", "2025"])
def test_a_time_that_is_not_in_the_past_is_refused(months, key, folder, before):
    with pytest.raises(AuditLogError, match=r"in the future|is not a time"):
        archive(owners(months), key(), before, folder)
    assert not folder.exists()


def test_nothing_is_deleted_unless_the_entries_and_the_checkpoint_verify(months, key, folder, tmp_path):
    other = VerifierKey(key().name, load_or_create(tmp_path / "other.key").public_key().public_bytes_raw())
    with pytest.raises(SignatureError):
        archive(owners(months), other, "2025-07", folder)
    change(months, "UPDATE audit_log SET actor_id = 'mallory' WHERE leaf_index = 4")
    with pytest.raises(VerificationError, match=r"leaf 4.*actor_id is 'mallory'"):
        archive(owners(months), key(), "2025-07", folder)
    change(months, "DELETE FROM audit_log WHERE leaf_index = 4")
    with pytest.raises(AuditLogError, match=r"lacks a node.*run assay audit verify"):
        archive(owners(months), key(), "2025-07", folder)
    assert (count(months, "audit_log"), count(months, "archived"), count(months, "archives")) == (44, 0, 0)


@pytest.mark.stores("sqlite")
def test_an_archive_has_the_cosignatures_that_a_policy_requires(months, key, folder, open_sink):
    signing = Ed25519PrivateKey.generate()
    witness = WitnessKey("w.example.com", signing.public_key().public_bytes_raw())
    policy = Policy.parse(f"witness w {witness} http://127.0.0.1:1\nquorum w\n")
    with pytest.raises(QuorumError):
        archive(months, key(), "2025-07", folder, policy=policy)
    assert not folder.exists()
    sink, note = open_sink(), newest_checkpoint(months)
    line = cosign(note.rpartition("\n\n")[0] + "\n", witness.name, signing, 1)
    sink._log.cosign(49, cosignatures(note + line, policy.keys)[0], policy)
    sink.shutdown()
    archive(months, key(), "2025-07", folder, policy=policy, witnessed=True)
    assert [each.key for each in verify_archive(folder / "0-20", key(), policy).cosignatures] == [witness]


def test_an_archive_that_a_killed_run_left_is_verified_before_entries_are_deleted(
    months, key, folder, copy_of
):
    backup = copy_of(months)
    archive(owners(months), key(), "2025-07", folder)
    entries = folder / "0-20" / "entries.jsonl"
    content = entries.read_bytes()
    entries.write_bytes(content.replace(b"alice@example.com", b"carol@example.com", 1))
    with pytest.raises(VerificationError):
        archive(owners(backup), key(), "2025-07", folder)
    assert count(backup, "audit_log") == 45
    entries.write_bytes(content)
    assert archive(owners(backup), key(), "2025-07", folder)[0].name == "0-20"


def changed(content: bytes) -> list[bytes | None]:
    """Return changes of a file: a byte in the middle, a byte less, a byte more, and without the file."""
    middle = len(content) // 2
    return [
        content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        content[:-2],
        content + b"\n",
        None,
    ]


def test_a_change_of_any_file_of_an_archive_is_found(archived, key, folder):
    assert verify(archived, key(), archives=folder).archives_verified
    for file in (folder / name / each for name in NAMES for each in FILES):
        content = file.read_bytes()
        for other in changed(content):
            file.unlink() if other is None else file.write_bytes(other)
            with pytest.raises(VerificationError):
                verify(archived, key(), archives=folder)
            if file.name != "archive.json":
                with pytest.raises(VerificationError):
                    verify_archive(file.parent, key())
        file.write_bytes(content)
    verify(archived, key(), archives=folder)  # the test of the test


def test_a_missing_or_exchanged_archive_is_found(archived, key, folder):
    first, second = (folder / name for name in NAMES)
    first.rename(folder / "elsewhere")
    with pytest.raises(VerificationError, match=r"0-20/archive.json is missing"):
        verify(archived, key(), archives=folder)
    second.rename(first)
    (folder / "elsewhere").rename(second)
    with pytest.raises(VerificationError, match="not the archive that the log names"):
        verify(archived, key(), archives=folder)


def test_an_archive_written_again_is_found(archived, key, folder):
    """The payload and the manifest are consistent; leaves, proofs and the checkpoint cannot be forged."""
    payloads, manifest = folder / "0-20" / "payloads.jsonl", folder / "0-20" / "archive.json"
    members = orjson.loads(manifest.read_bytes())
    manifest.write_bytes(orjson.dumps({**members, "olderThan": "2025-06-01T00:00:00.000000Z"}))
    verify_archive(folder / "0-20", key())  # nothing in the archive contradicts it
    with pytest.raises(VerificationError, match="not the archive that the log names"):
        verify(archived, key(), archives=folder)
    lines = payloads.read_bytes().splitlines(keepends=True)
    payloads.write_bytes(b"".join([lines[1], lines[0], lines[2]]))
    with pytest.raises(VerificationError, match="payload of leaf 18"):
        verify_archive(folder / "0-20", key())


def test_an_entry_that_was_moved_to_another_archive_is_found(archived, key, folder):
    """Both archives verify alone: the proofs are right, and nobody signs a manifest."""
    first, second = (folder / name for name in NAMES)
    for file, header in (("entries.jsonl", 1), ("payloads.jsonl", 0)):
        lines = [(place / file).read_bytes().splitlines(keepends=True) for place in (first, second)]
        lines[1].insert(header, lines[0].pop())
        for place, content in zip((first, second), lines, strict=True):
            if header:
                content[0] = orjson.dumps({**orjson.loads(content[0]), "entries": len(content) - 1}) + b"\n"
            (place / file).write_bytes(b"".join(content))
    for place, range_ in ((first, (0, 20)), (second, (20, 39))):
        members = orjson.loads((place / "archive.json").read_bytes())
        members["firstLeaf"], members["endLeaf"] = range_
        members["sha256"] = {
            name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in members["sha256"]
        }
        (place / "archive.json").write_bytes(orjson.dumps(members))
        verify_archive(place, key())
    with pytest.raises(VerificationError, match="not the archive that the log names"):
        verify(archived, key(), archives=folder)


def test_entries_removed_without_an_archive_are_found(archived, key):
    change(archived, "DELETE FROM audit_log WHERE leaf_index < 43")
    with pytest.raises(VerificationError, match="leaf 39 is missing"):
        verify(archived, key())


def test_entries_passed_off_as_archived_are_found(archived, key, folder):
    change(
        archived,
        "INSERT INTO archived SELECT leaf_index, 'record', integrity_hash, NULL, 0, leaf_hash"
        " FROM audit_log WHERE leaf_index < 43",
        "DELETE FROM audit_log WHERE leaf_index < 43",
    )
    with pytest.raises(VerificationError, match="removed without an archive"):
        verify(archived, key())
    insert = (
        "INSERT INTO archives VALUES (39, 43, '2025-09-01T00:00:00.000000Z', '39-42', zeroblob(32),"
        " '2025-09-01T00:00:00.000000Z')"
    )
    change(archived, insert)
    assert not verify(archived, key()).archives_verified  # the hashes are right, and it says what it lacks
    with pytest.raises(VerificationError, match=r"39-42/archive.json is missing"):
        verify(archived, key(), archives=folder)


def test_an_archived_entry_that_is_also_in_the_log_is_found(archived, key):
    columns = "id, event_type, actor_id, actor_type, resource_type, resource_id, action, details"
    columns += ", correlation_id, client_ip, user_agent, inserted_at, integrity_hash, leaf, leaf_hash"
    copied = f"INSERT INTO audit_log SELECT 3, {columns} FROM audit_log WHERE leaf_index = 40"
    change(archived, copied, keep_triggers=True)
    with pytest.raises(VerificationError, match="another entry has the same leaf index 3"):
        verify(archived, key())


COLUMNS = {
    "archived": ["leaf_index", "kind", "content_hash", "record_id", "sink_time_unix_nano", "leaf_hash"],
    "archives": ["first_leaf", "end_leaf", "older_than", "name", "sha256", "archived_at"],
}


def test_any_changed_value_of_the_tables_of_archives_is_found(archived, key, folder):
    for table, columns in COLUMNS.items():
        names = rows(archived, f"SELECT * FROM {table} ORDER BY 1 LIMIT 1 OFFSET 1")[0]
        assert len(names) == len(columns)
        place = names[0]
        for number, column in enumerate(columns):
            if column == "archived_at":  # nothing depends on it
                continue
            old, identity = names[number], columns[0]
            other = other_value(old)
            change(archived, (f"UPDATE {table} SET {column} = ? WHERE {identity} = ?", (other, place)))
            with pytest.raises(VerificationError):
                verify(archived, key(), archives=folder)
            where = other if column == identity else place
            change(archived, (f"UPDATE {table} SET {column} = ? WHERE {identity} = ?", (old, where)))
    verify(archived, key(), archives=folder)  # the test of the test


@pytest.mark.stores("sqlite")
def test_an_index_of_archived_entries_whose_pages_were_swapped_is_found(archived, key):
    roots = dict(rows(archived, "SELECT name, rootpage FROM sqlite_master"))
    swap = f"UPDATE sqlite_master SET rootpage = {roots['ids']} WHERE name = 'idx_archived_record'"
    change(archived, "PRAGMA writable_schema = ON", swap, keep_triggers=True)
    with pytest.raises(VerificationError):
        verify(archived, key())


def test_a_deleted_row_of_the_tables_of_archives_is_found(archived, key):
    for table, (identity, *_) in COLUMNS.items():
        for which in ("min", "max"):
            row = f"{identity} = (SELECT {which}({identity}) FROM {table})"
            change(archived, f"CREATE TABLE taken AS SELECT * FROM {table} WHERE {row}")
            change(archived, f"DELETE FROM {table} WHERE {row}")
            with pytest.raises(VerificationError):
                verify(archived, key())
            change(archived, f"INSERT INTO {table} SELECT * FROM taken", "DROP TABLE taken")
    verify(archived, key())


def test_a_sink_that_has_the_log_open(open_sink, months, key, folder):
    """On SQLite it must be stopped; beside a PostgreSQL log it goes on."""
    sink = open_sink(checkpoint_seconds=3600)
    sink.export(batch_of(8, record_of(8, 50)))
    if isinstance(months, Path):
        with pytest.raises(InUseError):
            archive(months, key(), "2025-08", folder)
        return
    assert archive(owners(months), key(), "2025-08", folder)[-1].end == 39
    known = sink.export(batch_of(8, record_of(6, 3))).receipts
    assert known[0]["sink_timestamp"] == str(nanoseconds(6))
    sink.export(batch_of(8, record_of(8, 51)))
    sink.shutdown()
    assert verify(months, key(), archives=folder).records == 47


@pytest.mark.stores("sqlite")
def test_deleted_records_are_overwritten(archived):
    content = archived.read_bytes()
    assert b"8-3" in content
    assert b"6-3" not in content


@pytest.mark.stores("postgresql")
def test_only_the_owner_of_the_tables_archives(months, key, folder):
    with pytest.raises(OpenError, match="role sink does not own the log's tables"):
        archive(months, key(), "2025-07", folder)
    assert not folder.exists()


@pytest.mark.stores("sqlite")
def test_one_process_writes_archives_into_a_folder(months, key, folder):
    with _archive._locked(folder), pytest.raises(InUseError, match="another process writes archives"):
        archive(months, key(), "2025-07", folder)


@pytest.mark.stores("postgresql")
def test_entries_that_another_process_archives_meanwhile_are_archived_once(
    months, key, folder, tmp_path, monkeypatch
):
    verified = _archive.verify_archive

    def verify_meanwhile(*arguments):
        monkeypatch.undo()
        archive(owners(months), key(), "2025-07", tmp_path / "another")
        return verified(*arguments)

    monkeypatch.setattr(_archive, "verify_archive", verify_meanwhile)
    with pytest.raises(InUseError, match="another process has archived the same entries"):
        archive(owners(months), key(), "2025-07", folder)
    assert verify(months, key(), archives=tmp_path / "another").records == 45


# It kills itself at the given step of the stage `writing` or `removing`: a statement, a file, or a sync.
CHILD = """
import json, os, signal, sys
from pathlib import Path
import psycopg
from assay.exporters.audit import PostgreSQL, _archive, _sqlite, archive, load_verifier
database, key, folder, stage, last = sys.argv[1:]
database = PostgreSQL(database) if PostgreSQL.is_address(database) else Path(database)
steps, counts = 0, stage == "writing"

def step(*_):
    global steps
    steps += counts
    if steps == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

def with_steps(function):
    def run(*args, **named):
        step()
        found = function(*args, **named)
        step()
        return found
    return run

def remove(*args, original=_archive._remove):
    global counts
    counts = True
    return original(*args)

_archive._remove = remove
_sqlite.SQLiteWriter.execute = with_steps(_sqlite.SQLiteWriter.execute)
psycopg.Connection.execute = with_steps(psycopg.Connection.execute)
os.fsync = with_steps(os.fsync)
sys.addaudithook(lambda event, _: step() if event in ("open", "os.rename", "os.mkdir") else None)
archive(database, load_verifier(Path(key)), "2025-08", Path(folder))
"""


@pytest.mark.slow
def test_a_kill_at_any_point_loses_nothing(months, key, folder, tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    address = owners(months)
    verifier = tmp_path / "verifier.key"
    verifier.write_text(f"{key()}\n")
    # The first archive has 150 steps before its removal, and a removal commits near step 30. So the first
    # four runs are killed.
    plan = [("writing", step) for step in sorted(choose.sample(range(1, 140), 3))]
    plan += [("removing", step) for step in sorted(choose.sample(range(1, 31), 4))]
    kills = 0
    for stage, step in plan:
        uri = address if isinstance(address, Path) else address.uri
        command = [sys.executable, "-c", CHILD, uri, verifier, folder, stage, str(step)]
        child = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert child.returncode in (0, -signal.SIGKILL), (seed, child.stderr)
        kills += child.returncode != 0
        found = verify(months, key(), archives=folder)
        assert (found.records, found.quarantined, found.covered) == (45, 4, 49), seed
    archive(address, key(), "2025-08", folder)
    assert [each.end for each in archives(months)] == [21, 39]
    assert count(months, "audit_log") == 10
    assert verify(months, key(), archives=folder).records == 45
    assert kills >= 4, seed
    print(f"killed {kills} times")
