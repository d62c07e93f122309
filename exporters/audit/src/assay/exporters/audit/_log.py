"""The log for its one writer: SQLite, sequencer, checkpoints.

One transaction stores a batch: its rows, the tree nodes that they complete, and a checkpoint if one is due.
The transaction is on disk when `append` returns (WAL, `synchronous=FULL`).
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

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.exporters.audit import _note, _schema, _storage
from assay.exporters.audit._batch import BatchEntries, conflicting
from assay.exporters.audit._entry import QuarantineEntry, Row
from assay.exporters.audit._errors import InUseError, OpenError, RecordIdConflictError
from assay.exporters.audit._keys import load_or_create, write_atomically
from assay.exporters.audit._receipts import stored_receipt
from assay.exporters.audit._tree import Frontier, frontier

logger = logging.getLogger(__name__)

_WIDTH = len(_schema.COLUMNS) + 4
_INSERT_RECORD = f"INSERT INTO audit_log VALUES ({', '.join('?' * _WIDTH)})"  # noqa: S608  question marks only
_INSERT_QUARANTINE = "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_NODE = "INSERT INTO nodes VALUES (?, ?, ?)"
_INSERT_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, ?)"
_STORED_HASH = "SELECT integrity_hash FROM audit_log WHERE id = ?"
_IN_QUARANTINE = "SELECT 1 FROM quarantine WHERE digest = ?"
_CACHE_KIB = 65536  # record ids are random: the upper levels of their index should stay in memory
_ID, _INTEGRITY_HASH = 0, len(_schema.COLUMNS)  # positions in a row without its index


class LogPaths(NamedTuple):
    """The files of a log."""

    database: Path
    key: Path
    checkpoint: Path
    verifier: Path


class Log:
    """A log that this process has open for writing, exclusively.

    Args:
        paths: Its files; missing files are created.
        origin: Permanent name of the log, in its checkpoints and its verifier key. Empty: the log's present
            name; for a new log a name made from the host name.
        checkpoint_records: Sign a checkpoint when this many entries are not covered by one,
        checkpoint_seconds: or when this many seconds have passed since the last one.

    Raises:
        InUseError: Another process has the log open.
        OpenError: A file cannot be used, or the origin or the key is not the log's.
        KeyFormatError: The signing key cannot be read, or the origin cannot name a log.
    """

    def __init__(
        self, paths: LogPaths, origin: str, *, checkpoint_records: int, checkpoint_seconds: float
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
        """Number of entries in the log, quarantine included."""
        return self._tree.size

    @property
    def uncovered(self) -> int:
        """Number of entries that no checkpoint covers yet."""
        return self._tree.size - self._covered

    def append(self, entries: BatchEntries, *, conflicts_to_quarantine: bool) -> list[QuarantineEntry]:
        """Store all entries of a batch or none; entries that are already stored are skipped.

        Args:
            entries: The batch.
            conflicts_to_quarantine: Put a record whose id is stored with other content into quarantine.

        Returns:
            The entries that were put into quarantine.

        Raises:
            RecordIdConflictError: A record's id is stored with other content, and
                `conflicts_to_quarantine` is false. Nothing was stored.
            sqlite3.Error: The database cannot be written. Nothing was stored.
        """
        with self._mutex:
            try:
                quarantined = entries.quarantine()
                self._store(entries.rows, quarantined, entries.batch.received_unix_nano)
            except sqlite3.IntegrityError:  # an id is already in the database, or twice in the batch
                rows, quarantined = self._new(entries, conflicts_to_quarantine=conflicts_to_quarantine)
                self._store(rows, quarantined, entries.batch.received_unix_nano)
            self._publish()
        return quarantined

    def receipt(self, record_id: str) -> Mapping[str, Any] | None:
        """Return the receipt of a stored record, None if the log does not contain the record."""
        with self._mutex:
            return stored_receipt(self._connection, record_id)

    def checkpoint(self) -> None:
        """Sign a checkpoint over all entries, unless the newest checkpoint already covers them.

        Raises:
            sqlite3.Error: The database cannot be written.
        """
        with self._mutex:
            if self._note is None or self.uncovered:
                self._store((), (), 0, checkpoint=True)
                self._publish()

    def close(self) -> None:
        """Sign a last checkpoint, move the write-ahead log into the database file, and close everything."""
        with self._mutex:
            try:
                self.checkpoint()
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._connection.close()
                os.close(self._lock)

    def _store(
        self,
        rows: Sequence[Row],
        quarantine: Sequence[QuarantineEntry],
        sink_time: int,
        *,
        checkpoint: bool = False,
    ) -> None:
        tree = self._tree.copy()
        indexes = range(tree.size + len(rows), tree.size + len(rows) + len(quarantine))
        quarantined = [entry.row(index, sink_time) for index, entry in zip(indexes, quarantine, strict=True)]
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
            self._load()  # a failed COMMIT may have taken effect or not: read the state again
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
        checkpoint = _note.Checkpoint(self.verifier.name, tree.size, tree.root())
        signed = _note.sign(checkpoint, self._key)
        self._connection.execute(_INSERT_CHECKPOINT, (tree.size, signed))
        return signed

    def _publish(self) -> None:
        """Write the newest checkpoint to its file, from where it can be copied elsewhere."""
        if self._note == self._published or self._note is None:
            return
        try:
            write_atomically(self.paths.checkpoint, self._note.encode())
        except OSError as error:  # the batch is stored; the next batch tries this write again
            logger.warning("%s cannot be written: %s", self.paths.checkpoint, error.strerror)
        else:
            self._published = self._note

    def _new(
        self, entries: BatchEntries, *, conflicts_to_quarantine: bool
    ) -> tuple[list[Row], list[QuarantineEntry]]:
        """Return the rows and quarantine entries of a batch that are not stored yet."""
        rows: dict[str, Row] = {}
        conflicts: dict[bytes, str] = {}
        for row in entries.rows:
            record_id, integrity_hash = row[_ID], row[_INTEGRITY_HASH]
            known_hash = self._known_hash(record_id, rows)
            if known_hash is None:
                rows[record_id] = row
            elif known_hash != integrity_hash:
                conflict = RecordIdConflictError(record_id)
                if not conflicts_to_quarantine:
                    raise conflict
                conflicts[integrity_hash] = str(conflict)
        if conflicts and isinstance(entries.batch.request, ExportLogsServiceRequest):
            for record in conflicting(entries.batch.request, conflicts):
                entries.add_invalid(record)
        quarantine = {entry.digest: entry for entry in entries.quarantine()}
        return list(rows.values()), [each for each in quarantine.values() if not self._in_quarantine(each)]

    def _known_hash(self, record_id: str, rows: Mapping[str, Row]) -> bytes | None:
        """Return the integrity hash of a record that is stored or in `rows`, else None."""
        stored = self._connection.execute(_STORED_HASH, (record_id,)).fetchone()
        if stored is not None:
            return stored[0]
        return rows[record_id][_INTEGRITY_HASH] if record_id in rows else None

    def _in_quarantine(self, entry: QuarantineEntry) -> bool:
        return self._connection.execute(_IN_QUARANTINE, (entry.digest,)).fetchone() is not None

    def _identify(self, origin: str) -> _note.VerifierKey:
        """Check that the origin and the key are the log's; record them in a new log."""
        stored: dict[str, str] = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        if stored and not self.paths.key.exists():
            raise OpenError(
                f"{self.paths.key}: the log's signing key is missing: restore it, or start another log"
            )
        self._key = load_or_create(self.paths.key)
        name = _note.check_name(origin or stored.get("origin") or f"{socket.gethostname()}/assay-audit")
        verifier = _note.VerifierKey(name, self._key.public_key().public_bytes_raw())
        ours = {"origin": name, "verifier_key": str(verifier)}
        if not stored:
            self._insert_meta(ours.items())
            return verifier
        for name, value in ours.items():
            if stored.get(name) != value:
                raise OpenError(
                    f"{self.paths.database}: the log's {name} is {stored.get(name)!r}, not {value!r}: "
                    f"use the origin and the signing key that it was created with, or start another log"
                )
        return verifier

    def _insert_meta(self, items: Iterable[tuple[str, str]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", items)
        self._connection.execute("COMMIT")

    def _load(self) -> None:
        """Read the state from the database."""
        newest = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
        self._tree = frontier(_storage.size(self._connection), _storage.StoredTree(self._connection))
        self._covered, self._note = self._connection.execute(newest).fetchone() or (0, None)
        self._signed_at = time.monotonic()
        self._published: str | None = None


def _lock(database: Path) -> int:
    """Take an exclusive lock and return its descriptor; the kernel releases it when the process exits."""
    path = database.with_name(f"{database.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OpenError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InUseError(
            f"{database}: another sink (process {holder}) has the log open, and a log has one writer: stop it"
            " first"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _open(database: Path) -> sqlite3.Connection:
    # SQLite would create it readable by all. Its other files get the mode of this one.
    os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA recursive_triggers = ON")  # REPLACE fires the DELETE trigger
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        _schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection
