"""A log in an SQLite file: the connections of its readers, and that of its one writer."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from assay.exporters.audit import _ids, _schema
from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import OpenError, SchemaMismatchError, shortened
from assay.exporters.audit._writer_lock import writer_lock
from assay.host.private_files import private_database, private_folder

_CACHE_KIB = 65536
_INSERT = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608  names of this module
    for table, columns in {
        "audit_log": len(_schema.COLUMNS) + 4,
        "quarantine": 11,
        "nodes": 3,
        "checkpoints": 2,
        "meta": 2,
        "archives": 6,
        "archived": 6,
    }.items()
}


class SQLiteReader(sqlite3.Connection):
    """A connection that reads a log; see `assay.exporters.audit._storage.Reader`."""

    def begin(self, state: str = "") -> None:  # noqa: ARG002  as the interface has it
        """Start a transaction that sees the present state of the log."""
        self.execute("BEGIN")

    def state(self) -> str:
        """Return an empty text: SQLite has no names of states."""
        return ""

    def stream(self, sql: str, values: Sequence[Any] = (), at_once: int = 1) -> Iterator[Any]:  # noqa: ARG002  as the interface has it
        """Return the rows of a long result, which SQLite reads one by one."""
        return self.execute(sql, values)

    def equals(self, column: str, parameter: str) -> str:
        """Return the condition that a column equals a parameter."""
        return f"{column} = {parameter}"

    key_of = staticmethod(_ids.key_of)

    def text(self, value: str) -> str:
        """Return a text as the store keeps it: unchanged."""
        return value

    def leaf_of(self, record_id: str) -> int | None:
        """Return the leaf index of a record, None if the log does not contain the record."""
        return _ids.find(self, record_id)

    def ids(self, first: int, keys: _ids.KeyRange = _ids.ALL_KEYS) -> Iterator[tuple[_ids.Key, int]]:
        """Return the keys in a range and their leaf indexes, for the leaves from `first`."""
        return _ids.read(self, first, keys)

    def id_count(self) -> int:
        """Return the number of ids in the index."""
        return self.execute(_ids.COUNT).fetchone()[0]

    def flush(self) -> None:
        """Do nothing: a transaction is on disk before another connection can read it."""

    def check_indexes(self) -> None:
        """Check the indexes of quarantine and of archived entries against their rows, and the runs of ids.

        Raises:
            SchemaMismatchError: They differ.
        """
        _ids.check_sizes(self)
        for table in ("quarantine", "archived"):
            for (fault,) in self.execute(f"PRAGMA integrity_check({table})"):
                if fault != "ok":
                    raise SchemaMismatchError(
                        f"an index of {table} differs from its rows: {shortened(fault)}"
                    )

    def check_definitions(self) -> None:
        """Check that tables, indexes, triggers and the view equal those of the schema version.

        Raises:
            SchemaMismatchError: One is missing, changed, or additional.
        """
        _schema.check_definitions(self)


class SQLiteWriter(SQLiteReader):
    """The connection of a log's one writer; see `assay.exporters.audit._storage.Writer`."""

    session = 0

    def prepare(self) -> None:
        """Set up the connection; create the tables in an empty database.

        Raises:
            OpenError: The database has another version or other tables, or its definitions are changed.
        """
        self.execute(f"PRAGMA page_size = {_schema.PAGE_BYTES}")  # has an effect in a new file only
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA recursive_triggers = ON")  # REPLACE fires the DELETE trigger
        self.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        _schema.create(self)
        self._ids = _ids.IdIndex(self)
        self._schema_version = self._read_schema_version()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commit the statements of the block to the disk, or none of them."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            self._ids.reload()
            raise

    def insert(self, table: str, rows: Iterable[Row]) -> int:
        """Insert whole rows into a table, and return how many were stored."""
        return self.executemany(_INSERT[table], rows).rowcount

    def add_ids(self, leaves: Iterable[tuple[str, int]]) -> None:
        """Add record ids and their leaf indexes to the index of ids.

        Raises:
            sqlite3.IntegrityError: An id is in the index, or twice in `leaves`.
        """
        self._ids.add(leaves)

    @contextmanager
    def removal(self, archived: Iterable[Row]) -> Generator[None]:
        """Insert rows into `archived`, and allow deletions in the block; all of it in one transaction.

        SQLite overwrites the content of deleted rows, and uses their pages again.
        """
        self.execute("PRAGMA secure_delete = ON")
        with self.transaction():
            self.insert("archived", archived)
            guards = [_schema.guards_against_deletion(table) for table in ("audit_log", "quarantine")]
            for drop, _ in guards:
                self.execute(drop)
            yield
            for _, create in guards:
                self.execute(create)

    def check_unchanged(self) -> None:
        """Check the definitions again if they may have changed.

        Raises:
            SchemaMismatchError: They differ from those of the schema version.
        """
        version = self._read_schema_version()
        if version != self._schema_version:
            self.check_definitions()
            self._schema_version = version

    append = transaction

    def newest(self, size: int, covered: int) -> tuple[int, int]:
        """Return the arguments: the log has one writer."""
        return size, covered

    def leads(self) -> bool:
        """Return True: the one writer signs the checkpoints."""
        return True

    def _read_schema_version(self) -> int:
        version: int = self.execute("PRAGMA main.schema_version").fetchone()[0]
        return version


@contextmanager
def open_writer(database: Path) -> Generator[SQLiteWriter]:
    """Open a log for writing, exclusively; create it if the file is missing.

    At the end of the block the write-ahead log is moved into the file.

    Raises:
        InUseError: Another process has the log open for writing.
        OpenError: The database is not a log of this version.
        sqlite3.Error: The file cannot be read or written.
        OSError: The file or its folder cannot be created.
    """
    with writer_lock(database):
        private_folder(database.parent)
        private_database(database)
        connection = sqlite3.connect(
            database, isolation_level=None, check_same_thread=False, timeout=10, factory=SQLiteWriter
        )
        with closing(connection):
            connection.prepare()
            yield connection
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_read_only(path: Path) -> SQLiteReader:
    """Open a log for reading. A sink may be writing to it; the folder may be read-only.

    Raises:
        OpenError: The file is missing, cannot be read, or is not an audit log.
    """
    try:
        if not path.is_file():
            raise OpenError(f"{path}: no such file")
        # SQLite does not say that a file must not be read. The check does not open the file: closing it would
        # end the locks of a sink in this process, and then another program deletes the write-ahead log.
        if not os.access(path, os.R_OK):
            raise OpenError(f"{path}: cannot be read: {os.strerror(errno.EACCES)}")
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


def _connect(uri: str) -> SQLiteReader:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10, factory=SQLiteReader)
    try:
        _schema.check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection
