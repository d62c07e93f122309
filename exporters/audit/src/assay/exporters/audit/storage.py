"""What is read from the log by whoever reads it: connections, leaf hashes, subtrees."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from assay.exporters.audit import schema
from assay.exporters.audit.errors import AuditLogError, OpenError
from assay.exporters.audit.tree import STORED_LEVELS, Frontier

LEAF_COUNT = "SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM quarantine)"
_SIZE = """SELECT max(coalesce((SELECT max(leaf_index) FROM audit_log), -1),
                      coalesce((SELECT max(leaf_index) FROM quarantine), -1)) + 1"""
_LEAVES = """SELECT leaf_hash FROM (
    SELECT leaf_index, leaf_hash FROM audit_log WHERE leaf_index >= ?1 AND leaf_index < ?2
    UNION ALL
    SELECT leaf_index, leaf_hash FROM quarantine WHERE leaf_index >= ?1 AND leaf_index < ?2
) ORDER BY leaf_index"""
_NODES = "SELECT hash FROM nodes WHERE level = ? AND node_index >= ? AND node_index < ? ORDER BY node_index"


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a log for reading, while a sink writes it or after; also from a folder that cannot be written to.

    Raises:
        OpenError: It is not there, or no audit log.
    """
    if not path.is_file():
        raise OpenError(f"{path}: there is no such file")
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        try:
            return _connect(uri)
        except sqlite3.OperationalError as error:
            # SQLite wants to make files beside the database, and may not: it can do without them when all
            # entries are in the database itself.
            waiting = path.with_name(f"{path.name}-wal")
            if waiting.exists() and waiting.stat().st_size:
                raise OpenError(
                    f"cannot be read ({error}), and {waiting.name} holds entries, since a sink writes or was"
                    " killed: copy both files to a folder that you may write to, and read them there"
                ) from error
            return _connect(f"{uri}&immutable=1")
    except (sqlite3.Error, OSError) as error:
        raise OpenError(f"{path}: cannot be read as an audit log: {error}") from error
    except OpenError as error:
        raise OpenError(f"{path}: {error}") from error


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
    try:
        schema.check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def size(connection: sqlite3.Connection) -> int:
    """Return how many leaves there are."""
    found: int = connection.execute(_SIZE).fetchone()[0]
    return found


class StoredTree:
    """The tree as stored: leaf hashes in the rows, every fourth level above in `nodes`.

    Calling it gives the root of a complete subtree, at the cost of at most 15 hashes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, level: int, index: int) -> bytes:
        """Return the root of the leaves `index · 2^level` to `(index + 1) · 2^level - 1`.

        Raises:
            AuditLogError: A node is missing: the log is damaged.
        """
        up = level % STORED_LEVELS
        base = level - up
        start, end = index << up, (index + 1) << up
        if base:
            found = self._connection.execute(_NODES, (base, start, end)).fetchall()
        else:
            found = self._connection.execute(_LEAVES, (start, end)).fetchall()
        if len(found) != end - start:
            raise AuditLogError(
                f"the log lacks a node under level {level}, index {index}: run assay audit verify"
            )
        tree = Frontier()
        tree.extend(row[0] for row in found)
        return tree.root()
