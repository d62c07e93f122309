"""A log in a PostgreSQL database: connections of readers and writers, and the rules for their addresses.

Any number of writers append to a log. A transaction holds an advisory lock, so one at a time gives entries
their index and updates the tree. Writers wait for the disk without the lock. The writer that holds the other
advisory lock signs the checkpoints; when its connection ends, the server releases the lock and another writer
takes it. docs/decisions/0035-any-number-of-writers-share-a-postgresql-log.md and
docs/decisions/0042-writers-wait-for-the-disk-without-the-lock.md give the reasons.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import logging
import os
import re
import stat
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Literal

from assay.endpoints import is_loopback
from assay.exporters.audit import _ids, _postgresql_schema, _schema
from assay.exporters.audit._entry import Row, without_nul
from assay.exporters.audit._errors import (
    DatabaseError,
    DuplicateError,
    OpenError,
    SchemaMismatchError,
    VerificationError,
)
from assay.exporters.audit._postgresql_address import PostgreSQL
from assay.exporters.audit._postgresql_schema import PREFIX, WRITER

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10
_AUTHENTICATED_TLS = {"verify-ca", "verify-full"}
_GROUP_AND_OTHERS = 0o077
_CHECK_SECONDS = 1.0  # between two checks of the definitions
_SESSION = """
SET search_path = public;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
"""
_READING = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# A writer that stops within a transaction blocks all others, so the server ends its session. A writer that
# waits longer for the lock asks its sender to repeat the batch.
_WRITING = """
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
SET lock_timeout = '30s';
SET idle_in_transaction_session_timeout = '30s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
"""
_DURABLE = """SELECT set_config('synchronous_commit', 'on', false)
              WHERE current_setting('synchronous_commit') = 'off'"""
_TOO_POWERFUL = "SELECT has_table_privilege('audit_log', 'UPDATE, DELETE, TRUNCATE')"
_IS_OWNER = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'audit_log'::regclass"
_EMPTIED = ("audit_log", "quarantine")
_MAY_WRITE = "SELECT has_table_privilege('audit_log', 'INSERT')"
# The numbers name the two advisory locks of a database.
_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(1096107081, 1)"
# The lock ends with the transaction, which does not wait for the disk: `flush` does.
_APPEND = f"{_BEGIN}; SET LOCAL synchronous_commit = off"
# Wait until the disk has this message and with it all that was committed before, as the session's
# synchronous_commit requires. A transaction that writes nothing would not wait.
_FLUSH = "SELECT pg_logical_emit_message(true, 'assay.audit', '')"
_SIGN = "SELECT pg_try_advisory_lock(1096107081, 2)"
_LEAF_OF = "SELECT leaf_index FROM ids WHERE key = $1"
_IDS = "SELECT key, leaf_index FROM ids WHERE leaf_index >= ?"
_STATE = """SELECT greatest((SELECT max(leaf_index) FROM audit_log),
                            (SELECT max(leaf_index) FROM quarantine),
                            (SELECT max(leaf_index) FROM archived)),
                   (SELECT max(size) FROM checkpoints)"""
_TYPES_OF = """SELECT atttypid FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0
               ORDER BY attnum"""
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)  # of PostgreSQL's times
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00").fullmatch
_LEAF = len(_schema.COLUMNS) + 2  # position of the leaf in a row with its index


class _TimestampLoader(Loader):
    """Loads a timestamptz in the form of `assay.exporters.audit._entry.timestamp`."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        found = _TIMESTAMP(text)
        return f"{found[1]}T{found[2]}.{found[3] or '':0<6}Z" if found else text


class _TimestampDumper(Dumper):
    """Dumps the form of `assay.exporters.audit._entry.timestamp` as a timestamptz for a binary COPY."""

    format = psycopg.pq.Format.BINARY
    oid = psycopg.adapters.types["timestamptz"].oid

    def dump(self, obj: str) -> bytes:
        return _microseconds(obj).to_bytes(8, "big", signed=True)


@lru_cache(maxsize=1)  # the rows of a batch have the same time
def _microseconds(timestamp: str) -> int:
    return (dt.datetime.fromisoformat(timestamp.replace("Z", "+00:00")) - _EPOCH) // dt.timedelta(
        microseconds=1
    )


class PostgreSQLReader:
    """A connection that reads a log; see `assay.exporters.audit._storage.Reader`.

    Its errors are `DatabaseError`, and `VerificationError` where the server found damaged data.
    """

    def __init__(self, address: PostgreSQL) -> None:
        self._address = address
        self._names = itertools.count()
        self._connection = self._connect()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        """Execute a statement."""
        with _errors(self._address):
            return self._connection.execute(_dialect(sql), _storable(values) or None)

    def begin(self, state: str = "") -> None:
        """Start a transaction that sees one state of the log: the present one, or that with a name.

        Raises:
            DatabaseError: The transaction that named the state has ended.
        """
        self.execute("BEGIN")
        if state:
            statement = SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(state))
            self.execute(statement.as_string(self._connection))

    def state(self) -> str:
        """Return a name for the state of the log that this transaction sees, while the transaction lasts."""
        (found,) = self.execute("SELECT pg_export_snapshot()").fetchall()
        return found[0]

    def stream(self, sql: str, values: Sequence[Any] = (), at_once: int = 100) -> Iterator[Any]:
        """Yield the rows of a long result, which the server sends `at_once` at a time."""
        with _errors(self._address):
            if self._connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                self._connection.execute("BEGIN")
            name = f"rows_{next(self._names)}"
            with psycopg.RawServerCursor(self._connection, name) as cursor:
                cursor.itersize = at_once
                cursor.execute(_dialect(sql), _storable(values) or None)
                yield from cursor

    def equals(self, column: str, parameter: str) -> str:
        """Return the condition that a column equals a parameter; the index has the column's first part."""
        first = f'left({column}, {PREFIX}) COLLATE "C" = left({parameter}, {PREFIX})'
        return f"{first} AND {column} = {parameter}"

    def key_of(self, record_id: str) -> _ids.Key:
        """Return the key of a record id: 16 bytes for a UUID in lower case, else the id's SHA-256."""
        key = _ids.key_of(record_id)
        if isinstance(key, bytes):
            return key
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()

    def text(self, value: str) -> str:
        """Return a text as the store keeps it: PostgreSQL has no NUL."""
        return without_nul(value)

    def leaf_of(self, record_id: str) -> int | None:
        """Return the leaf index of a record, None if the log does not contain the record."""
        found = self.execute(_LEAF_OF, (self.key_of(record_id),)).fetchone()
        return None if found is None else found[0]

    def ids(self, first: int, keys: _ids.KeyRange = _ids.ALL_KEYS) -> Iterator[tuple[_ids.Key, int]]:
        """Yield the keys in a range and their leaf indexes, for the leaves from `first`."""
        condition, values = _ids.within("key", keys)
        return self.stream(_IDS + condition, (first, *values), at_once=1000)

    def id_count(self) -> int:
        """Return the number of ids in the index."""
        (found,) = self.execute("SELECT count(*) FROM ids").fetchall()
        return found[0]

    def check_indexes(self) -> None:
        """Check nothing: PostgreSQL checks its indexes with its own tool, pg_amcheck."""

    def check_definitions(self) -> None:
        """Check that tables, indexes, triggers and the view equal those of the schema version.

        Raises:
            SchemaMismatchError: One is missing, changed, or additional.
        """
        with _errors(self._address):
            _postgresql_schema.check_definitions(self._connection)

    def flush(self) -> None:
        """Wait until all that this connection has read or written is on the server's disk.

        A connection that ended is not made again: whatever it has written may be lost.
        """
        with _errors(self._address):
            self._connection.execute(_FLUSH)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = connect(self._address)
        with _closed_on_error(connection), _errors(self._address):
            connection.execute(_READING)
            _postgresql_schema.check_version(connection)
        return connection


class PostgreSQLWriter(PostgreSQLReader):
    """A connection that writes a log; see `assay.exporters.audit._storage.Writer`.

    A statement on a broken connection makes a new one first, unless it is within a transaction.
    """

    def __init__(self, address: PostgreSQL) -> None:
        self._signs = False
        self._checked_at = 0.0
        self.session = 0
        self._types: dict[str, list[int]] = {}  # of the columns of each table that was written
        super().__init__(address)

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        """Execute a statement."""
        self._reconnect()
        return super().execute(sql, values)

    def transaction(self) -> AbstractContextManager[None]:
        """Commit the statements of the block to the disk, or none of them; other writers wait meanwhile."""
        return self._transaction(_BEGIN)

    @contextmanager
    def append(self) -> Generator[None]:
        """Commit the statements of the block to the disk, or none of them.

        Other writers wait for the block, and not for the disk: they may read its rows before the rows are on
        the disk. So whoever signs rows, or answers that they are stored, flushes before.
        """
        with self._transaction(_APPEND):
            yield
        self.flush()

    def insert(self, table: str, rows: Iterable[Row]) -> int:
        """Insert whole rows into a table, and return how many were stored."""
        return self._copy(table, map(_without_nul, rows) if table == "audit_log" else rows)

    def add_ids(self, leaves: Iterable[tuple[str, int]]) -> None:
        """Add record ids and their leaf indexes to the index of ids.

        Raises:
            DuplicateError: An id is in the index, or twice in `leaves`.
        """
        self._copy("ids", ((self.key_of(record_id), index) for record_id, index in leaves))

    def check_unchanged(self) -> None:
        """Check the definitions again, at most once a second.

        Raises:
            SchemaMismatchError: They differ from those of the schema version.
        """
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self.check_definitions()
            self._checked_at = time.monotonic()

    def newest(self, size: int, covered: int) -> tuple[int, int]:  # noqa: ARG002  others write too
        """Return the number of entries, and the size of the newest checkpoint."""
        ((newest, covered),) = self.execute(_STATE).fetchall()
        return 0 if newest is None else newest + 1, covered or 0

    def leads(self) -> bool:
        """Return whether this writer signs the checkpoints: whether it holds the lock, or could take it."""
        if self._connection.closed or not self._signs:
            ((self._signs,),) = self.execute(_SIGN).fetchall()
        return self._signs

    @contextmanager
    def _transaction(self, begin: str) -> Generator[None]:
        self._reconnect()
        with _errors(self._address):
            try:
                self._connection.execute(begin.encode())
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if not self._connection.closed:
                    self._connection.execute("ROLLBACK")
                raise

    def _reconnect(self) -> None:
        if self._connection.closed:
            self._signs = False
            self.session += 1
            self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = connect(self._address)
        with _closed_on_error(connection), _errors(self._address):
            connection.execute(_WRITING)
            connection.execute(_DURABLE)
            _postgresql_schema.check_version(connection)
            self._require_role(connection)
            connection.execute(_FLUSH)  # it is not permitted if somebody has revoked it
            try:
                _postgresql_schema.check_definitions(connection)
            except SchemaMismatchError as error:
                raise OpenError(f"the database was changed by another program: {error}") from error
        return connection

    def _require_role(self, connection: psycopg.Connection[Any]) -> None:
        _require_writer(connection)

    def _copy(self, table: str, rows: Iterable[Row]) -> int:
        """Copy rows in the binary format, which takes the server a sixth less time than the text."""
        with _errors(self._address), self._connection.cursor() as cursor:
            if table not in self._types:
                self._types[table] = [oid for (oid,) in cursor.execute(_TYPES_OF, (table,))]
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy:
                copy.set_types(self._types[table])
                for row in rows:
                    copy.write_row(row)
            return cursor.rowcount


class PostgreSQLOwner(PostgreSQLWriter):
    """A connection of the tables' owner; see `assay.exporters.audit._storage.Owner`."""

    @contextmanager
    def removal(self, archived: Iterable[Row]) -> Generator[None]:
        """Insert rows into `archived`, and allow deletions in the block; all of it in one transaction.

        The rows are on the server before the transaction starts, because sinks wait for its end.
        """
        self.execute("CREATE TEMPORARY TABLE IF NOT EXISTS staged (LIKE archived)")
        self.execute("TRUNCATE staged")
        self.insert("staged", archived)
        with self.transaction():
            self.execute("INSERT INTO archived SELECT * FROM staged")
            for table in _EMPTIED:
                self.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
            yield
            for table in _EMPTIED:
                self.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")

    def _require_role(self, connection: psycopg.Connection[Any]) -> None:
        if connection.execute(_IS_OWNER).fetchone() != (True,):
            raise OpenError(
                f"the role {connection.info.user} does not own the log's tables: connect as their owner"
            )


def open_owner(address: PostgreSQL) -> closing[PostgreSQLOwner]:
    """Open a log to move entries to an archive, beside its writers.

    Raises:
        OpenError: The database cannot be reached, is not a log of this version, or is changed; or its tables
            have another owner.
    """
    return closing(PostgreSQLOwner(address))


def open_writer(address: PostgreSQL) -> closing[PostgreSQLWriter]:
    """Open a log for writing, beside other writers.

    Raises:
        OpenError: The database cannot be reached, is not a log of this version, or is changed; or its role
            may change rows.
    """
    return closing(PostgreSQLWriter(address))


def migrate(address: PostgreSQL) -> int:
    """Create or update the schema, roles and grants, as the role of the address, which then owns the tables.

    Returns:
        The schema version that the database had; 0 if it was empty.

    Raises:
        OpenError: The database cannot be reached or migrated.
    """
    with closing(connect(address)) as connection, _errors(address):
        connection.execute(_BEGIN)
        before = _postgresql_schema.migrate(connection)
        connection.execute("COMMIT")
    return before


def connect(address: PostgreSQL) -> psycopg.Connection[Any]:
    """Return a connection in autocommit mode; statements have parameters such as `$1`.

    Raises:
        OpenError: The connection would not be private, the password file cannot be used, or the server
            cannot be reached.
    """
    parameters = _private_parameters(address)
    if address.password_file is not None:
        parameters["password"] = _password(address.password_file)
    with _errors(address):
        connection = psycopg.connect(
            **parameters, autocommit=True, cursor_factory=psycopg.RawCursor, application_name="assay-audit"
        )
        with _closed_on_error(connection):
            connection.adapters.register_loader("timestamptz", _TimestampLoader)
            connection.adapters.register_dumper(None, _TimestampDumper)
            connection.execute(_SESSION)
    return connection


def _private_parameters(address: PostgreSQL) -> dict[str, Any]:
    """Return the parameters of libpq. A connection to another machine needs authenticated TLS.

    Raises:
        OpenError: The address allows a connection without.
    """
    try:
        parameters = conninfo_to_dict(address.uri, connect_timeout=_CONNECT_SECONDS)
    except psycopg.ProgrammingError as error:
        raise OpenError(f"{address}: the address is malformed: {error}") from None
    if "service" in parameters or "PGSERVICE" in os.environ:
        raise OpenError(f"{address}: a service file may name any server: name the host in the address")
    named = (parameters.get(name) or os.environ.get(f"PG{name.upper()}", "") for name in ("host", "hostaddr"))
    hosts = [host for names in named for host in str(names).split(",")]
    if all(not host or host.startswith(("/", "@")) or is_loopback(host) for host in hosts):
        return parameters
    mode = parameters.setdefault("sslmode", os.environ.get("PGSSLMODE") or "verify-full")
    if mode not in _AUTHENTICATED_TLS:
        raise OpenError(
            f"{address}: sslmode={mode} does not authenticate the server: use sslmode=verify-full, and name"
            " its authority with sslrootcert"
        )
    return parameters


def _password(path: Path) -> str:
    """Return the password in a file, without the line end.

    Raises:
        OpenError: The file cannot be read, or other users may read it.
    """
    try:
        if stat.S_IMODE(path.stat().st_mode) & _GROUP_AND_OTHERS:
            raise OpenError(f"{path}: other users may read the password: chmod 600 it")
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise OpenError(f"{path}: the password cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise OpenError(f"{path}: the password is not UTF-8") from None


def _require_writer(connection: psycopg.Connection[Any]) -> None:
    """Check that the role may insert rows, and neither change nor remove them.

    Raises:
        OpenError: The role has another right.
    """
    user = connection.info.user
    if connection.execute(_TOO_POWERFUL).fetchone() != (False,):
        raise OpenError(
            f"the role {user} may change or remove records: connect as another role, GRANT {WRITER} to it"
        )
    if connection.execute(_MAY_WRITE).fetchone() != (True,):
        raise OpenError(f"the role {user} may not insert records: GRANT {WRITER} to it")
    if connection.execute("SHOW fsync").fetchone() != ("on",):
        logger.warning("the database server has fsync = off: a crash of its machine loses accepted records")


@contextmanager
def _errors(address: PostgreSQL) -> Generator[None]:
    """Raise errors of PostgreSQL as those of the log. Details, which contain values of rows, are left out."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise DuplicateError(f"{address}: {_message(error)}") from None
    except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
        raise VerificationError(f"{address}: the database is damaged: {_message(error)}") from None
    except psycopg.Error as error:
        raise DatabaseError(f"{address}: {_message(error)}") from None


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip() or type(error).__name__


@contextmanager
def _closed_on_error(connection: psycopg.Connection[Any]) -> Generator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@lru_cache(maxsize=256)
def _dialect(sql: str) -> bytes:
    """Return a statement of the log in PostgreSQL's form, with numbered parameters."""
    numbers = itertools.count(1)
    sql = sql.replace("CAST(leaf AS BLOB)", "convert_to(leaf, 'UTF8')")
    return re.sub(r"\?(\d*)", lambda found: f"${found[1] or next(numbers)}", sql).encode()


def _storable(values: Sequence[Any]) -> list[Any]:
    return [without_nul(value) if isinstance(value, str) else value for value in values]


def _without_nul(row: Row) -> Row:
    """Return a row of `audit_log` as PostgreSQL can store it."""
    return row if "\\u0000" not in row[_LEAF] else tuple(_storable(row))
