"""The interface of a log's storage, and what it needs of every store: leaf hashes, subtrees.

The stores have the same tables with the same columns, so most statements serve both. They are written with
the parameters `?` and `?1`. The interface has a method for whatever differs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from assay.exporters.audit import _sqlite
from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import AuditLogError, DuplicateError, OpenError
from assay.exporters.audit._ids import ALL_KEYS, Key, KeyRange
from assay.exporters.audit._postgresql_address import Location
from assay.proof.tree import STORED_LEVELS, Frontier, Subtrees

DUPLICATE = (sqlite3.IntegrityError, DuplicateError)
"""A row with the same key is already in the table."""
LEAF_COUNT = """SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM quarantine)
                     + (SELECT count(*) FROM archived)"""
_SIZE = """SELECT coalesce(max(newest), -1) + 1 FROM (
    SELECT max(leaf_index) AS newest FROM audit_log UNION ALL SELECT max(leaf_index) FROM quarantine
    UNION ALL SELECT max(leaf_index) FROM archived
) AS ends"""
_LEAF_HASHES = """SELECT leaf_hash FROM (
    SELECT leaf_index, leaf_hash FROM audit_log WHERE leaf_index >= ?1 AND leaf_index < ?2
    UNION ALL
    SELECT leaf_index, leaf_hash FROM quarantine WHERE leaf_index >= ?1 AND leaf_index < ?2
    UNION ALL
    SELECT leaf_index, leaf_hash FROM archived WHERE leaf_index >= ?1 AND leaf_index < ?2
) AS entries ORDER BY leaf_index"""
_ARCHIVED_END = "SELECT coalesce(max(end_leaf), 0) FROM archives"
_RECORDS_FROM = "SELECT leaf, integrity_hash FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index"
_LEAVES = """SELECT leaf FROM (
    SELECT leaf_index, CAST(leaf AS BLOB) AS leaf FROM audit_log WHERE leaf_index >= ?1 AND leaf_index < ?2
    UNION ALL
    SELECT leaf_index, CAST(leaf AS BLOB) FROM quarantine WHERE leaf_index >= ?1 AND leaf_index < ?2
) AS entries ORDER BY leaf_index"""
_FIRST_SINCE = """SELECT min(leaf_index) FROM (
    SELECT leaf_index FROM audit_log WHERE inserted_at >= ?1
    UNION ALL SELECT leaf_index FROM quarantine WHERE inserted_at >= ?1) AS entries"""
_LAST_UNTIL = """SELECT max(leaf_index) FROM (
    SELECT leaf_index FROM audit_log WHERE inserted_at < ?1
    UNION ALL SELECT leaf_index FROM quarantine WHERE inserted_at < ?1) AS entries"""
_CACHED = 1 << 12  # roots of subtrees, about 0.5 MB
_NODES = "SELECT hash FROM nodes WHERE level = ? AND node_index >= ? AND node_index < ? ORDER BY node_index"


class Cursor(Protocol):
    """The result of a statement."""

    def fetchone(self) -> Any:  # noqa: ANN401  the statement determines the row
        """Return the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that remain."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Reader(Protocol):
    """A connection that reads a log."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        """Execute a statement."""
        ...

    def begin(self, state: str = "") -> None:
        """Start a transaction that sees one state of the log.

        Args:
            state: The name of that state, from another connection's `state`; empty: the present state.
        """
        ...

    def state(self) -> str:
        """Return a name of the state that this transaction sees; empty if the store has no such names."""
        ...

    def stream(self, sql: str, values: Sequence[Any] = (), at_once: int = 100) -> Iterator[Any]:
        """Return the rows of a long result; at most `at_once` rows are in memory."""
        ...

    def equals(self, column: str, parameter: str) -> str:
        """Return the condition that a column equals a parameter such as `?1`; an index may serve it."""
        ...

    def key_of(self, record_id: str) -> Key:
        """Return the key of a record id in the index of ids."""
        ...

    def text(self, value: str) -> str:
        """Return a text as the store keeps it in a column."""
        ...

    def leaf_of(self, record_id: str) -> int | None:
        """Return the leaf index of a record, None if the log does not contain the record."""
        ...

    def ids(self, first: int, keys: KeyRange = ALL_KEYS) -> Iterator[tuple[Key, int]]:
        """Return keys of the index of ids and their leaf indexes.

        Args:
            first: The first leaf.
            keys: The range of keys.

        Raises:
            SchemaMismatchError: A key is in the index twice.
        """
        ...

    def id_count(self) -> int:
        """Return the number of ids in the index."""
        ...

    def check_indexes(self) -> None:
        """Check the other indexes against their rows, where the store can.

        Raises:
            SchemaMismatchError: They differ.
        """
        ...

    def check_definitions(self) -> None:
        """Check that tables, indexes, triggers and the view equal those of the schema version.

        Raises:
            SchemaMismatchError: One is missing, changed, or additional.
        """
        ...

    def flush(self) -> None:
        """Wait until all that this connection has read or written is on the disk."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Owner(Reader, Protocol):
    """A connection that may move entries to an archive: of the log's one writer, or of the tables' owner."""

    def insert(self, table: str, rows: Iterable[Row]) -> int:
        """Insert whole rows into a table, and return how many were stored."""
        ...

    def removal(self, archived: Iterable[Row]) -> AbstractContextManager[None]:
        """Insert rows into `archived`, and allow deletions in the block; all of it in one transaction."""
        ...


class Writer(Reader, Protocol):
    """A connection that writes a log. It inserts rows and changes none.

    Attributes:
        session: Number of times that the connection was made again. What an earlier one has read without
            `flush` may be lost.
    """

    session: int

    def transaction(self) -> AbstractContextManager[None]:
        """Commit the statements of the block to the disk, or none of them; no other writer is in one."""
        ...

    def append(self) -> AbstractContextManager[None]:
        """Commit as `transaction` does; other writers may read the rows before they are on the disk."""
        ...

    def insert(self, table: str, rows: Iterable[Row]) -> int:
        """Insert whole rows into a table, and return how many were stored."""
        ...

    def add_ids(self, leaves: Iterable[tuple[str, int]]) -> None:
        """Add record ids and their leaf indexes to the index of ids, which makes an id unique."""
        ...

    def check_unchanged(self) -> None:
        """Check the definitions again if they may have changed.

        Raises:
            SchemaMismatchError: They differ from those of the schema version.
        """
        ...

    def newest(self, size: int, covered: int) -> tuple[int, int]:
        """Return the number of entries, and the size of the newest checkpoint.

        Args:
            size: Number of entries that this writer knows of.
            covered: Size of the newest checkpoint that it knows of.
        """
        ...

    def leads(self) -> bool:
        """Return whether this writer signs the checkpoints; it tries to become the one that does."""
        ...


def open_writer(database: Location) -> AbstractContextManager[Writer]:
    """Open a log for writing. The file of an SQLite log is created if it is missing.

    Raises:
        InUseError: Another process has the SQLite log open for writing.
        OpenError: The database cannot be used, or is not a log of this version.
        sqlite3.Error: The file cannot be read or written.
        OSError: The file or its folder cannot be created.
    """
    if isinstance(database, Path):
        return _sqlite.open_writer(database)
    return postgresql().open_writer(database)


def open_owner(database: Location) -> AbstractContextManager[Owner]:
    """Open a log to move entries to an archive.

    Raises:
        InUseError: Another process has the SQLite log open for writing.
        OpenError: The database cannot be used, is not a log of this version, or its tables have another
            owner.
        sqlite3.Error: The file cannot be read or written.
    """
    if isinstance(database, Path):
        if not database.is_file():
            raise OpenError(f"{database}: no such file")
        return _sqlite.open_writer(database)
    return postgresql().open_owner(database)


def open_read_only(database: Location) -> Reader:
    """Open a log for reading. A sink may be writing to it.

    Raises:
        OpenError: The database cannot be read, or is not a log of this version.
    """
    if isinstance(database, Path):
        return _sqlite.open_read_only(database)
    return postgresql().PostgreSQLReader(database)


def postgresql() -> ModuleType:
    """Return the module of logs in PostgreSQL.

    Raises:
        OpenError: Its driver is not installed.
    """
    try:
        return import_module("assay.exporters.audit._postgresql")
    except ImportError as error:
        raise OpenError(
            f"a log in PostgreSQL needs its driver ({error}): pip install 'assay-exporter-audit[postgresql]'"
        ) from error


def size(connection: Reader) -> int:
    """Return the number of leaves."""
    found: int = connection.execute(_SIZE).fetchone()[0]
    return found


def archived_end(connection: Reader) -> int:
    """Return the first leaf that is not archived."""
    end: int = connection.execute(_ARCHIVED_END).fetchone()[0]
    return end


def leaves(connection: Reader, start: int, end: int) -> list[bytes]:
    """Return the leaves `start` to `end - 1`."""
    return [row[0] for row in connection.execute(_LEAVES, (start, end))]


def first_since(connection: Reader, since: str) -> int | None:
    """Return the first leaf with a sink time from `since` on, in the table's form; None without one."""
    (first,) = connection.execute(_FIRST_SINCE, (since,)).fetchone()
    return first


def period(connection: Reader, since: str, until: str) -> tuple[int, int]:
    """Return the first leaf of a period, and the one after its last.

    Args:
        connection: The log.
        since: Start of the sink time, in the table's form.
        until: End of the sink time, exclusive.
    """
    first = first_since(connection, since)
    (last,) = connection.execute(_LAST_UNTIL, (until,)).fetchone()
    return (0, 0) if first is None or last is None else (first, last + 1)


def newest_records(connection: Reader, at_most: int) -> tuple[int, Iterator[tuple[str, bytes]]]:
    """Return the first leaf index that is read, and leaf and integrity hash of each record from there on."""
    first = max(archived_end(connection), size(connection) - at_most)
    return first, connection.stream(_RECORDS_FROM, (first,))


def cached_tree(connection: Reader) -> Subtrees:
    """Return the stored tree with a cache, for the proofs of many entries, whose neighbours share nodes."""
    return lru_cache(_CACHED)(StoredTree(connection))


class StoredTree:
    """The stored tree: leaf hashes are in the rows, every fourth level above them in `nodes`.

    A call returns the root of a complete subtree and computes at most 15 hashes.
    """

    def __init__(self, connection: Reader) -> None:
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
