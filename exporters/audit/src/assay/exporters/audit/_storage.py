"""Read a log's database: read-only connections, leaf hashes, subtrees."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from assay.exporters.audit import _schema
from assay.exporters.audit._errors import AuditLogError, OpenError
from assay.proof.tree import STORED_LEVELS, Frontier

LEAF_COUNT = "SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM quarantine)"
_SIZE = """SELECT max(coalesce((SELECT max(leaf_index) FROM audit_log), -1),
                      coalesce((SELECT max(leaf_index) FROM quarantine), -1)) + 1"""
_LEAF_HASHES = """SELECT leaf_hash FROM (
    SELECT leaf_index, leaf_hash FROM audit_log WHERE leaf_index >= ?1 AND leaf_index < ?2
    UNION ALL
    SELECT leaf_index, leaf_hash FROM quarantine WHERE leaf_index >= ?1 AND leaf_index < ?2
) ORDER BY leaf_index"""
_RECORDS_FROM = "SELECT leaf, integrity_hash FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index"
_LEAVES = """SELECT leaf FROM (
    SELECT leaf_index, CAST(leaf AS BLOB) AS leaf FROM audit_log WHERE leaf_index >= ?1 AND leaf_index < ?2
    UNION ALL
    SELECT leaf_index, CAST(leaf AS BLOB) FROM quarantine WHERE leaf_index >= ?1 AND leaf_index < ?2
) ORDER BY leaf_index"""
_FIRST_SINCE = """SELECT min(leaf_index) FROM (
    SELECT leaf_index FROM audit_log WHERE inserted_at >= ?1
    UNION ALL SELECT leaf_index FROM quarantine WHERE inserted_at >= ?1)"""
_LAST_UNTIL = """SELECT max(leaf_index) FROM (
    SELECT leaf_index FROM audit_log WHERE inserted_at < ?1
    UNION ALL SELECT leaf_index FROM quarantine WHERE inserted_at < ?1)"""
_NODES = "SELECT hash FROM nodes WHERE level = ? AND node_index >= ? AND node_index < ? ORDER BY node_index"


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a log for reading. A sink may be writing to it; the folder may be read-only.

    Raises:
        OpenError: The file is missing, cannot be read, or is not an audit log.
    """
    try:
        if not path.is_file():
            raise OpenError(f"{path}: no such file")
        path.open("rb").close()  # SQLite does not say that a file must not be read
    except OSError as error:
        raise OpenError(f"{path}: cannot be read: {error.strerror}") from error
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        try:
            return _connect(uri)
        except sqlite3.OperationalError as error:
            # SQLite cannot create its files beside the database. It does not need them when the write-ahead
            # log is empty.
            write_ahead = path.with_name(f"{path.name}-wal")
            if write_ahead.exists() and write_ahead.stat().st_size:
                raise OpenError(
                    f"cannot be read ({error}), and {write_ahead.name} holds entries (a sink is writing, or"
                    " was killed): copy both files to a folder that you can write to, and read them there"
                ) from error
            return _connect(f"{uri}&immutable=1")
    except (sqlite3.Error, OSError) as error:
        raise OpenError(f"{path}: cannot be read as an audit log: {error}") from error
    except OpenError as error:
        raise OpenError(f"{path}: {error}") from error


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
    try:
        _schema.check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def size(connection: sqlite3.Connection) -> int:
    """Return the number of leaves."""
    found: int = connection.execute(_SIZE).fetchone()[0]
    return found


def leaves(connection: sqlite3.Connection, start: int, end: int) -> list[bytes]:
    """Return the leaves `start` to `end - 1`."""
    return [row[0] for row in connection.execute(_LEAVES, (start, end))]


def period(connection: sqlite3.Connection, since: str, until: str) -> tuple[int, int]:
    """Return the first leaf of a period, and the one after its last.

    Args:
        connection: The log.
        since: Start of the sink time, in the table's form.
        until: End of the sink time, exclusive.
    """
    (first,) = connection.execute(_FIRST_SINCE, (since,)).fetchone()
    (last,) = connection.execute(_LAST_UNTIL, (until,)).fetchone()
    return (0, 0) if first is None or last is None else (first, last + 1)


def newest_records(connection: sqlite3.Connection, at_most: int) -> tuple[int, Iterator[tuple[str, bytes]]]:
    """Return the first leaf index that is read, and leaf and integrity hash of each record from there on."""
    first = max(0, size(connection) - at_most)
    return first, connection.execute(_RECORDS_FROM, (first,))


class StoredTree:
    """The stored tree: leaf hashes are in the rows, every fourth level above them in `nodes`.

    A call returns the root of a complete subtree and computes at most 15 hashes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, level: int, index: int) -> bytes:
        """Return the root of the leaves `index · 2^level` to `(index + 1) · 2^level - 1`.

        Raises:
            AuditLogError: A node is missing: the log is damaged.
        """
        up = level % STORED_LEVELS
        tree = Frontier()
        tree.extend(self.hashes(level - up, index << up, (index + 1) << up))
        return tree.root()

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Return the stored hashes `start` to `end - 1` of a stored level; level 0 has the leaf hashes.

        Raises:
            AuditLogError: A node is missing: the log is damaged.
        """
        if level:
            found = self._connection.execute(_NODES, (level, start, end)).fetchall()
        else:
            found = self._connection.execute(_LEAF_HASHES, (start, end)).fetchall()
        if len(found) != end - start:
            raise AuditLogError(
                f"the log lacks a node of level {level} between {start} and {end}: run assay audit verify"
            )
        return [row[0] for row in found]
