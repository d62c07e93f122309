"""Bring a log of an earlier schema version to this one. Leaves, tree and checkpoints stay byte for byte.

The entries are copied into a new file, which then takes the place of the old one; the old file stays beside
it. A crash leaves the old log, or the new one.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from assay.exporters.audit import _schema
from assay.exporters.audit._entry import QuarantineEntry
from assay.exporters.audit._errors import OpenError
from assay.exporters.audit._ids import key_of
from assay.exporters.audit._keys import write_atomically
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._signer import kept_path
from assay.exporters.audit._storage import postgresql
from assay.exporters.audit._writer_lock import writer_lock

_UNCHANGED = ("meta", "audit_log", "nodes", "checkpoints")
_SINCE = {  # version → tables that earlier ones lack, or have in another form
    2: ("quarantine",),
    3: ("cosignatures", "witnessed", "refusals"),
    4: ("archives", "archived"),
}
_IDS_OF_ROWS = "SELECT 1, id_key(id) AS id, leaf_index FROM main.audit_log ORDER BY id"
_IDS = """SELECT 1, id, leaf_index FROM old.ids UNION ALL SELECT 1, id, leaf_index FROM old.recent_ids
          ORDER BY id"""
_RUNS = "INSERT INTO main.id_runs SELECT run, count(*) FROM main.ids GROUP BY run"
_QUARANTINE = """SELECT leaf_index, digest, kind, record_id, reason, encoding, payload, inserted_at,
                 sink_time_unix_nano, leaf_hash FROM old.quarantine"""
_INSERT_QUARANTINE = "INSERT INTO main.quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NEWEST = "SELECT note FROM main.checkpoints ORDER BY size DESC LIMIT 1"


def migrate(database: Location, key: Path | None = None) -> int:
    """Migrate a log to the schema version of this program. No sink may be running. Verify the log first.

    In a PostgreSQL database it also creates the tables, and the roles `assay_audit_writer` and
    `assay_audit_reader`. The role of the address then owns the tables.

    Args:
        database: The log's database. The old file of an SQLite log becomes `<name>.v<version>`.
        key: The log's signing key. The signer's last checkpoint is created beside it from the log's newest
            one if it is missing, as version 1 kept none. Default: signing.key beside the SQLite file.

    Returns:
        The version that the log had; that of this program if nothing was to be done; 0 for an empty
        PostgreSQL database.

    Raises:
        OpenError: The log cannot be read or written, is in use, or is newer than this program.
    """
    if not isinstance(database, Path):
        return postgresql().migrate(database)
    key = key or database.with_name("signing.key")
    if not database.is_file():
        raise OpenError(f"{database}: no such file")
    try:
        with writer_lock(database):
            version = _close_write_ahead_log(database)
            if version != _schema.VERSION:
                _replace(database, version, key)
            return version
    except (sqlite3.Error, OSError) as error:
        raise OpenError(f"{database}: the log cannot be migrated: {error}") from error


def _close_write_ahead_log(database: Path) -> int:
    """Move the write-ahead log into the file, and return the file's schema version."""
    with closing(sqlite3.connect(database)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 < version <= _schema.VERSION:
            raise OpenError(
                f"{database}: schema version {version} cannot be migrated to version {_schema.VERSION}"
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    return version


def _replace(database: Path, version: int, key: Path) -> None:
    new = database.with_name(f".{database.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {_schema.PAGE_BYTES}")
        _schema.create(connection)
        connection.create_function("id_key", 1, key_of, deterministic=True)
        connection.execute("ATTACH ? AS old", (str(database),))
        connection.execute("BEGIN")
        _copy(connection, version)
        connection.execute("COMMIT")
        note = connection.execute(_NEWEST).fetchone()
    if note is not None and not kept_path(key).exists():
        write_atomically(kept_path(key), note[0].encode(), 0o600)
    old = database.with_name(f"{database.name}.v{version}")
    old.unlink(missing_ok=True)
    os.link(database, old)
    new.replace(database)


def _copy(connection: sqlite3.Connection, version: int) -> None:
    later = [table for since, tables in _SINCE.items() if since <= version for table in tables]
    for table in (*_UNCHANGED, *later):
        connection.execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")  # noqa: S608  our names
    if version == 1:
        _copy_quarantine_1(connection)
    connection.execute(f"INSERT INTO main.ids {_IDS_OF_ROWS if version == 1 else _IDS}")
    connection.execute(_RUNS)


def _copy_quarantine_1(connection: sqlite3.Connection) -> None:
    for *columns, leaf_hash in connection.execute(_QUARANTINE):
        _, _, kind, record_id, reason, encoding, payload, _, sink_time = columns
        leaf = QuarantineEntry(kind, reason, encoding, payload, record_id).first_leaf(sink_time)
        connection.execute(_INSERT_QUARANTINE, (*columns, leaf.decode(), leaf_hash))
