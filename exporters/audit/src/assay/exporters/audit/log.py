"""The log as its one writer has it: SQLite, sequencer, checkpoints.

A batch is one transaction: its rows, the nodes that they complete, and a checkpoint if one is due are on disk
together (WAL, `synchronous=FULL`) when `append` returns, or none of it is there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from assay.exporters.audit import note, schema, storage
from assay.exporters.audit.batch import Entries, conflicting
from assay.exporters.audit.entry import Quarantined, Row
from assay.exporters.audit.errors import ConflictError, InUseError, OpenError
from assay.exporters.audit.keys import load_or_create, write_atomically
from assay.exporters.audit.receipts import stored_receipt
from assay.exporters.audit.tree import Frontier, frontier

logger = logging.getLogger(__name__)

_WIDTH = len(schema.COLUMNS) + 4
_INSERT_RECORD = f"INSERT INTO audit_log VALUES ({', '.join('?' * _WIDTH)})"  # noqa: S608  question marks only
_INSERT_QUARANTINE = "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_NODE = "INSERT INTO nodes VALUES (?, ?, ?)"
_INSERT_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, ?)"
_KNOWN = "SELECT integrity_hash FROM audit_log WHERE id = ?"
_KNOWN_QUARANTINE = "SELECT 1 FROM quarantine WHERE digest = ?"
_CACHE_KIB = 65536  # ids are random: the upper part of their indexes should stay in memory
_ID, _INTEGRITY_HASH = 0, len(schema.COLUMNS)  # places in a row without its index


class Paths(NamedTuple):
    """Where the log keeps what."""

    database: Path
    key: Path
    checkpoint: Path
    verifier: Path


class Log:
    """The log, open for writing by this process alone.

    Args:
        paths: Its files; those that are missing are made.
        origin: Its name, which its checkpoints and its verifier key carry for ever; empty: the name that it
            has, for a new log the host's.
        checkpoint_records: A checkpoint is signed when so many entries are not covered by one,
        checkpoint_seconds: or when so many seconds have passed since the last.

    Raises:
        InUseError: Another process has it open.
        OpenError: A file cannot be used, or origin or key are not those of this log.
        KeyFormatError: The signing key cannot be read, or the origin cannot name a log.
    """

    def __init__(
        self, paths: Paths, origin: str, *, checkpoint_records: int = 1000, checkpoint_seconds: float = 1.0
    ) -> None:
        self.paths = paths
        self._due_records, self._due_seconds = checkpoint_records, checkpoint_seconds
        self._mutex = threading.RLock()
        with ExitStack() as opened:
            self._lock = _lock(paths.database)
            opened.callback(os.close, self._lock)
            try:
                self._connection = _open(paths.database)
                opened.callback(self._connection.close)
                self.verifier = self._identify(origin)
                self._load()
                self.checkpoint()
                write_atomically(paths.verifier, f"{self.verifier}\n".encode())
                self._publish()
            except (sqlite3.Error, OSError) as error:
                raise OpenError(f"{paths.database}: the log cannot be opened: {error}") from error
            opened.pop_all()

    @property
    def size(self) -> int:
        """Entries in the log, quarantine included."""
        return self._tree.size

    @property
    def uncovered(self) -> int:
        """Entries that no checkpoint covers yet."""
        return self._tree.size - self._covered

    def append(self, entries: Entries, *, conflicts_to_quarantine: bool) -> list[Quarantined]:
        """Store a batch, all of it or nothing; what is stored already is left as it is.

        Args:
            entries: The batch.
            conflicts_to_quarantine: What to do with a record whose id is known with other content.

        Returns:
            What went to quarantine.

        Raises:
            ConflictError: A record's id is known with other content, and it may not go to quarantine.
            sqlite3.Error: The database cannot be written: nothing was stored.
        """
        with self._mutex:
            try:
                bad = entries.bad
                self._store(entries.rows, bad, entries.sink_time)
            except sqlite3.IntegrityError:  # an id that is known, here or twice in the batch
                rows, bad = self._new(entries, conflicts_to_quarantine=conflicts_to_quarantine)
                self._store(rows, bad, entries.sink_time)
            self._publish()
        return bad

    def stored(self, record_id: str) -> Mapping[str, Any] | None:
        """Return the receipt of a stored record, None when there is none."""
        with self._mutex:
            return stored_receipt(self._connection, record_id)

    def checkpoint(self) -> None:
        """Sign a checkpoint of what is stored, unless there is one.

        Raises:
            sqlite3.Error: The database cannot be written.
        """
        with self._mutex:
            if self._note is None or self.uncovered:
                self._store((), (), 0, checkpoint=True)
                self._publish()

    def close(self) -> None:
        """Sign what is not covered yet, and close everything; the database is one file again."""
        with self._mutex:
            try:
                self.checkpoint()
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._connection.close()
                os.close(self._lock)

    def _store(
        self, rows: Sequence[Row], bad: Sequence[Quarantined], sink_time: int, *, checkpoint: bool = False
    ) -> None:
        tree = self._tree.copy()
        first_bad = tree.size + len(rows)
        quarantined = [entry.row(first_bad + place, sink_time) for place, entry in enumerate(bad)]
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            indexed = ((index, *row) for index, row in enumerate(rows, tree.size))
            self._connection.executemany(_INSERT_RECORD, indexed)
            self._connection.executemany(_INSERT_QUARANTINE, quarantined)
            nodes = tree.extend([row[-1] for row in rows] + [row[-1] for row in quarantined])
            self._connection.executemany(_INSERT_NODE, nodes)
            signed = self._sign(tree) if checkpoint or self._is_due(tree.size) else None
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            self._load()  # after a COMMIT that failed only the database knows
            raise
        self._tree = tree
        if signed is not None:
            self._covered, self._signed_at, self._note = tree.size, time.monotonic(), signed

    def _is_due(self, size: int) -> bool:
        uncovered = size - self._covered
        return uncovered >= self._due_records or (
            uncovered > 0 and time.monotonic() - self._signed_at >= self._due_seconds
        )

    def _sign(self, tree: Frontier) -> str:
        signed = note.sign(note.Checkpoint(self.verifier.name, tree.size, tree.root()), self._key)
        self._connection.execute(_INSERT_CHECKPOINT, (tree.size, signed))
        return signed

    def _publish(self) -> None:
        """Put the newest checkpoint beside the database, to be taken elsewhere."""
        if self._note == self._published or self._note is None:
            return
        try:
            write_atomically(self.paths.checkpoint, self._note.encode())
        except OSError as error:  # the batch is stored: what fails here is tried again with the next
            logger.warning("%s cannot be written: %s", self.paths.checkpoint, error.strerror)
        else:
            self._published = self._note

    def _new(self, entries: Entries, *, conflicts_to_quarantine: bool) -> tuple[list[Row], list[Quarantined]]:
        """Return what of a batch is not stored yet."""
        rows: dict[str, Row] = {}
        bad = {entry.digest: entry for entry in entries.bad}
        for row in entries.rows:
            known = self._connection.execute(_KNOWN, (row[_ID],)).fetchone()
            content = known[0] if known else rows[row[_ID]][_INTEGRITY_HASH] if row[_ID] in rows else None
            if content is None:
                rows[row[_ID]] = row
            elif content != row[_INTEGRITY_HASH]:
                conflict = ConflictError(row[_ID])
                if not conflicts_to_quarantine or entries.request is None:
                    raise conflict
                entry = conflicting(entries.request, row[_INTEGRITY_HASH], str(conflict))
                bad[entry.digest] = entry
        return list(rows.values()), [entry for entry in bad.values() if not self._in_quarantine(entry)]

    def _in_quarantine(self, entry: Quarantined) -> bool:
        return self._connection.execute(_KNOWN_QUARANTINE, (entry.digest,)).fetchone() is not None

    def _identify(self, origin: str) -> note.VerifierKey:
        """Check that origin and key are those that the log was begun with, or begin it."""
        stored: dict[str, str] = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        if stored and not self.paths.key.exists():
            raise OpenError(
                f"{self.paths.key}: the log's signing key is not there: bring it back, or begin another log"
            )
        self._key = load_or_create(self.paths.key)
        name = note.check_name(origin or stored.get("origin") or f"{socket.gethostname()}/assay-audit")
        verifier = note.VerifierKey(name, self._key.public_key().public_bytes_raw())
        ours = {"origin": name, "verifier_key": str(verifier)}
        if not stored:
            self._insert_meta(ours.items())
            return verifier
        for name, value in ours.items():
            if stored.get(name) != value:
                raise OpenError(
                    f"{self.paths.database}: the log's {name} is {stored.get(name)!r}, not {value!r}: "
                    f"use the origin and the signing key that it was begun with, or begin another log"
                )
        return verifier

    def _insert_meta(self, items: Iterable[tuple[str, str]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", items)
        self._connection.execute("COMMIT")

    def _load(self) -> None:
        """Take the state from the database."""
        newest = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
        self._tree = frontier(storage.size(self._connection), storage.StoredTree(self._connection))
        self._covered, self._note = self._connection.execute(newest).fetchone() or (0, None)
        self._signed_at = time.monotonic()
        self._published: str | None = None


def _lock(database: Path) -> int:
    """Be the only one: the lock ends with the process, however it ends."""
    path = database.with_name(f"{database.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OpenError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InUseError(
            f"{database}: another sink has the log open (process {holder}); there can be one: stop it first"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _open(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA recursive_triggers = ON")  # a REPLACE is a DELETE, and refused like one
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection
