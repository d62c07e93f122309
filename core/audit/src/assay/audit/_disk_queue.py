"""A queue on disk: records that survive the process, in one SQLite file for each process that runs.

The folder has numbered files. A process takes the first file that no other process has, and the records that
a process before it left in the file with it. Processes share neither files nor locks while they run, so none
waits for another. A file stays for the next process: creating one costs more than using it again.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import re
import sqlite3
import stat
import threading
import time
import weakref
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from assay.audit._entry import Entry
from assay.audit._receipt import AuditReceipt
from assay.audit._store import Sent, Store
from assay.audit.errors import ConflictError, QueueError, QueueFullError

MAX_BYTES = 1 << 30
"""Size of one process's file, in bytes, at which it takes no more records."""
_WAITING, _SENT, _REJECTED = range(3)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    position INTEGER PRIMARY KEY,
    record_id TEXT NOT NULL UNIQUE,
    integrity_hash TEXT NOT NULL,
    payload BLOB NOT NULL,
    state INTEGER NOT NULL,
    sent_at REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS records_by_state ON records (state, position);
"""
_NUMBERED = re.compile(r"(\d+)\.db").fullmatch

_logger = logging.getLogger("assay.audit")
_open_stores: weakref.WeakSet[DiskStore] = weakref.WeakSet()
_of_parents: list[sqlite3.Connection] = []


class DiskQueue:
    """A queue in a folder, which several processes may use at once.

    Args:
        folder: Created with mode 0700 if it is missing, and so are its parents; its files have mode 0600. Use
            one folder for each endpoint: a process also sends the records that others left in the folder.
        max_bytes: Size of one process's file at which it takes no more records.
    """

    is_durable = True

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def open(self) -> Store:
        """Take a file that no other process has.

        Raises:
            QueueError: The folder cannot be used.
        """
        self.prepare()
        try:
            for number in itertools.count(1):
                lock = _try_lock(self.folder / f"{number}.lock")
                if lock is not None:
                    return DiskStore(self.folder / f"{number}.db", lock, self._max_bytes)
        except OSError as error:
            raise QueueError(f"the audit queue {self.folder} cannot be used: {error.strerror}") from error
        raise AssertionError("unreachable")  # pragma: no cover

    def prepare(self) -> None:
        """Create the folder if it is missing, and check that no other user has access to it.

        Raises:
            QueueError: It cannot be created, or others have access.
        """
        _make_private(self.folder)

    def abandoned(self) -> Iterator[Store]:
        """Yield the stores with records whose processes have ended, and close each afterwards."""
        return (store for store in self.unused() if len(store))

    def unused(self) -> Iterator[DiskStore]:
        """Yield the stores that no process has, also empty ones, and close each afterwards."""
        for path in sorted(self.folder.glob("*.db")):
            lock = _try_lock(path.with_suffix(".lock")) if _NUMBERED(path.name) else None
            if lock is None:
                continue
            store = DiskStore(path, lock, self._max_bytes)
            try:
                yield store
            finally:
                store.close()


class DiskStore:
    """One file of the queue, while this process has its lock."""

    def __init__(self, path: Path, lock: int, max_bytes: int) -> None:
        self._path = path
        self._lock_file = lock
        self._mutex = threading.RLock()
        self._is_closed = False
        try:
            self._connection = _connect(path, max_bytes)
            self._counts = _Counts(self._connection)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            raise QueueError(f"the audit queue {path} cannot be opened: {error}") from error
        _open_stores.add(self)

    def __len__(self) -> int:
        return self._counts[_WAITING] + self._counts[_SENT]

    def waiting_count(self) -> int:
        return self._counts[_WAITING]

    def append(self, entries: Sequence[Entry]) -> None:
        try:
            with self._transaction("FULL") as changes:
                for entry in entries:
                    self._append(entry, changes)
        except sqlite3.Error as error:
            raise QueueFullError(
                f"the audit record cannot be written to {self._path} ({error}) and was not accepted: make"
                " room on the disk, or let the audit endpoint accept the records that wait"
            ) from error

    def waiting(self, limit: int) -> list[Entry]:
        rows = self._rows(
            "SELECT record_id, integrity_hash, payload FROM records"
            " WHERE state = ? ORDER BY position LIMIT ?",
            (_WAITING, limit),
        )
        return [Entry(AuditReceipt(record_id, digest), payload) for record_id, digest, payload in rows]

    def mark_sent(self, record_ids: Iterable[str], now: float) -> None:
        with self._transaction("NORMAL") as changes:
            moved = self._connection.executemany(
                "UPDATE records SET state = ?, sent_at = ?, attempts = attempts + 1"
                " WHERE record_id = ? AND state = ?",
                [(_SENT, now, record_id, _WAITING) for record_id in record_ids],
            ).rowcount
            changes.update({_WAITING: -moved, _SENT: moved})

    def sent(self, limit: int, after: int) -> list[Sent]:
        rows = self._rows(
            "SELECT position, record_id, integrity_hash, sent_at, attempts FROM records"
            " WHERE state = ? AND position > ? ORDER BY position LIMIT ?",
            (_SENT, after, limit),
        )
        return [Sent(*row) for row in rows]

    def resend(self, record_ids: Iterable[str]) -> None:
        with self._transaction("NORMAL") as changes:
            moved = self._connection.executemany(
                "UPDATE records SET state = ? WHERE record_id = ? AND state = ?",
                [(_WAITING, record_id, _SENT) for record_id in record_ids],
            ).rowcount
            changes.update({_WAITING: moved, _SENT: -moved})

    def remove(self, record_ids: Iterable[str]) -> None:
        # Not flushed to the disk: a record that appears again after a power failure is sent again, which its
        # id makes harmless.
        known = list(record_ids)
        with self._transaction("NORMAL") as changes:
            for state in (_WAITING, _SENT):
                deleted = self._connection.executemany(
                    "DELETE FROM records WHERE record_id = ? AND state = ?",
                    [(record_id, state) for record_id in known],
                ).rowcount
                changes[state] -= deleted

    def reject(self, record_id: str, reason: str) -> None:
        with self._transaction("FULL") as changes:
            for state in (_WAITING, _SENT):
                moved = self._connection.execute(
                    "UPDATE records SET state = ?, reason = ? WHERE record_id = ? AND state = ?",
                    (_REJECTED, reason, record_id, state),
                ).rowcount
                changes[state] -= moved
                changes[_REJECTED] += moved

    def rejected(self) -> list[tuple[str, str]]:
        """Return the ids of the records that are set aside, and the reasons."""
        return self._rows(
            "SELECT record_id, reason FROM records WHERE state = ? ORDER BY position", (_REJECTED,)
        )

    def retry_rejected(self) -> None:
        """Let the records that are set aside wait again."""
        with self._transaction("FULL") as changes:
            moved = self._connection.execute(
                "UPDATE records SET state = ?, reason = '' WHERE state = ?", (_WAITING, _REJECTED)
            ).rowcount
            changes.update({_WAITING: moved, _REJECTED: -moved})

    def close(self) -> None:
        with self._mutex:
            if self._is_closed:
                return
            self._is_closed = True
            if not self._counts.total():
                # Closing copies the write-ahead log into the file and flushes it twice. Nothing is in it.
                self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.close()
            os.close(self._lock_file)

    def leave_to_parent(self) -> None:
        """Give up the file in a forked child: its lock and its connection are the parent's."""
        self._is_closed = True
        os.close(self._lock_file)
        _of_parents.append(self._connection)  # closing it would write to the parent's file

    def _append(self, entry: Entry, changes: Counter[int]) -> None:
        receipt = entry.receipt
        inserted = self._connection.execute(
            "INSERT INTO records (record_id, integrity_hash, payload, state) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (record_id) DO NOTHING",
            (receipt.record_id, receipt.integrity_hash, entry.payload, _WAITING),
        ).rowcount
        if inserted:
            changes[_WAITING] += 1
            return
        revived = self._connection.execute(
            "UPDATE records SET state = ?, reason = '' WHERE record_id = ? AND state = ?",
            (_WAITING, receipt.record_id, _REJECTED),
        ).rowcount
        changes.update({_WAITING: revived, _REJECTED: -revived})
        (digest,) = self._connection.execute(
            "SELECT integrity_hash FROM records WHERE record_id = ?", (receipt.record_id,)
        ).fetchone()
        if digest != receipt.integrity_hash:
            raise ConflictError(f"another audit record with the id {receipt.record_id} waits already")

    @contextmanager
    def _transaction(self, synchronous: Literal["FULL", "NORMAL"]) -> Generator[Counter[int]]:
        """Run a transaction, and yield the changes of the numbers of records in each state."""
        changes: Counter[int] = Counter()
        with self._mutex:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield changes
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._counts.update(changes)

    def _rows(self, statement: str, values: tuple[int, ...]) -> list[tuple[Any, ...]]:
        with self._mutex:
            return self._connection.execute(statement, values).fetchall()


def _make_private(folder: Path) -> None:
    """Create a folder with mode 0700, or check that no other user has access to it.

    Missing parents get this mode too, as the XDG Base Directory Specification says; `Path.mkdir` would
    create them with the mode that the umask leaves.

    Raises:
        QueueError: It cannot be created, or others have access.
    """
    try:
        missing = itertools.takewhile(lambda parent: not parent.exists(), folder.parents)
        for each in reversed([folder, *missing]):
            each.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise QueueError(f"the audit queue {folder} cannot be created: {error.strerror}") from error
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise QueueError(
            f"the audit queue {folder} must belong to this user, with mode 0700: other users must not read"
            " records, nor add any"
        )


def _try_lock(path: Path) -> int | None:
    """Return the descriptor of a locked file, None if another process has the lock.

    The kernel releases the lock when the process ends, however it ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    if not path.exists():
        _create(path)
    try:
        return _opened(path, max_bytes)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        damaged = _set_aside(path)
        _logger.error(  # noqa: TRY400 - the message has the cause
            "the audit queue %s is damaged (%s): it is kept as %s, and a new one is used",
            path,
            error,
            damaged,
        )
        _create(path)
        return _opened(path, max_bytes)


def _opened(path: Path, max_bytes: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        (pages,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(max_bytes // pages, 1)}")
        connection.execute("SELECT count(*) FROM records")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Create an empty file with two flushes, where SQLite itself would make about ten."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        connection = sqlite3.connect(new, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.close()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _set_aside(path: Path) -> Path:
    damaged = path.with_name(f"{path.stem}.damaged-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.replace(damaged.with_name(damaged.name + suffix))
    path.replace(damaged)
    return damaged


class _Counts(Counter[int]):
    """The numbers of records in each state: SQLite would count row by row."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(dict(connection.execute("SELECT state, count(*) FROM records GROUP BY state")))

    def total(self) -> int:
        return sum(self.values())


def _leave_stores_to_parent() -> None:
    for store in list(_open_stores):
        store.leave_to_parent()
    _open_stores.clear()


os.register_at_fork(after_in_child=_leave_stores_to_parent)
