"""A log of an earlier schema version is migrated; its leaves, root and checkpoints stay the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from assay.exporters.audit import (
    SCHEMA_VERSION,
    InUseError,
    OpenError,
    Query,
    VerifierKey,
    archive,
    migrate,
    prove,
    quarantined,
    quarantined_payload,
    query,
    verify,
    verify_proof,
)

# A log of each earlier version, with ten records, two quarantined records and a batch; from version 1
# checkpoints of sizes 0, 5, 10, 12, 13.
DATA = Path(__file__).with_name("data")
SEED = bytes.fromhex("55fcec21fc58c07f66ebf2980917871cf59151bde899601f5ada9f03c13cf1a0")


@pytest.fixture(params=[1, 2, 3, 4])
def version(request):
    return request.param


@pytest.fixture
def old(database, version):
    database.parent.mkdir()
    connection = sqlite3.connect(database)
    connection.executescript((DATA / f"log-v{version}.sql").read_text("utf-8"))
    connection.close()
    database.chmod(0o600)
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    file = database.with_name("signing.key")
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    return database, VerifierKey.of("audit.test/log", key.public_key().public_bytes_raw())


def newest(database):
    connection = sqlite3.connect(database)
    try:
        return connection.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()[0]
    finally:
        connection.close()


def test_an_older_log_is_neither_opened_nor_read_before_it_is_migrated(old, version, open_sink):
    database, key = old
    for use in (open_sink, lambda: verify(database, key), lambda: list(query(database, Query()))):
        with pytest.raises(OpenError, match=rf"schema version {version}.*run assay audit migrate"):
            use()


def test_a_migrated_log_verifies_against_its_old_checkpoint(old, version, open_sink, record, batch):
    database, key = old
    before = newest(database)
    assert migrate(database, database.with_name("signing.key")) == version
    found = verify(database, key, checkpoint=before)
    assert (found.records, found.quarantined, found.covered) == (10, 3, 13)
    assert quarantined_payload(database, list(quarantined(database))[-1]["leaf_index"]) == b"\xff\xff"
    one = next(query(database, Query()))["id"]
    assert verify_proof(prove(database, one), key).record_id == one
    sink = open_sink()
    sink.export(batch(record()))
    sink.shutdown()
    assert verify(database, key, checkpoint=before).records == 11
    assert database.with_name(f"log.db.v{version}").stat().st_mode & 0o077 == 0


def test_a_migrated_log_has_its_cosignatures_and_can_be_archived(old, version, tmp_path):
    database, key = old
    migrate(database, database.with_name("signing.key"))
    connection = sqlite3.connect(database)
    tables = ("cosignatures", "witnessed", "refusals")
    found = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    connection.close()
    assert found == ([1, 1, 1] if version >= 3 else [0, 0, 0])
    assert archive(database, key, "0s", tmp_path / "archives")[0].end == 13
    found = verify(database, key, archives=tmp_path / "archives")
    assert (found.records, found.quarantined) == (10, 3)


@pytest.mark.parametrize("version", [4], indirect=True)
def test_what_is_known_of_archived_entries_is_kept(old):
    database, _ = old
    rows = {
        "archives": (
            0,
            2,
            "2026-08-01T00:00:00.000000Z",
            "2026-07",
            b"m" * 32,
            "2026-09-01T00:00:00.000000Z",
        ),
        "archived": (0, "record", b"i" * 32, None, 17, b"l" * 32),
    }
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, row in rows.items():
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    migrate(database, database.with_name("signing.key"))
    with closing(sqlite3.connect(database)) as connection:
        assert {table: connection.execute(f"SELECT * FROM {table}").fetchone() for table in rows} == rows


def test_a_record_that_was_migrated_is_known(old, open_sink, record, batch):
    database, _ = old
    migrate(database, database.with_name("signing.key"))
    known = next(query(database, Query()))["id"]
    sink = open_sink()
    with pytest.raises(Exception, match="another record with this id"):
        sink.export(batch(record(record_id=known)))


def test_a_migration_is_done_once_and_alone(old, version, open_sink):
    database, _ = old
    key = database.with_name("signing.key")
    assert [migrate(database, key), migrate(database, key)] == [version, SCHEMA_VERSION]
    open_sink()
    with pytest.raises(InUseError):
        migrate(database, key)


def test_a_file_that_is_not_a_log_is_not_migrated(database):
    database.parent.mkdir()
    sqlite3.connect(database).close()
    for path in (database, database.with_name("missing.db")):
        with pytest.raises(OpenError):
            migrate(path, database.with_name("signing.key"))
