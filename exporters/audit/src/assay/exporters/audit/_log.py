"""The log for a writer: sequencer, checkpoints.

One transaction stores a batch: its rows, their ids, and the tree nodes that they complete. The transaction is
on disk when `append` returns. A checkpoint is signed after that: the signer signs only what is on disk, and
keeps the checkpoint before the log stores it. What other writers appended may not be on disk yet, so `_sign`
waits for it.
"""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.exporters.audit import _cosigned, _schema, _storage
from assay.exporters.audit._batch import BatchEntries, conflicting
from assay.exporters.audit._cosigned import Refusal
from assay.exporters.audit._entry import QuarantineEntry, Row
from assay.exporters.audit._errors import (
    AuditLogError,
    DuplicateError,
    OpenError,
    RecordIdConflictError,
    SchemaMismatchError,
    TreeMismatchError,
    VerificationError,
)
from assay.exporters.audit._keys import write_atomically
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._receipts import stored_receipt
from assay.exporters.audit._signer import Signer, read_note, require_extends
from assay.proof.cosignature import Cosignature
from assay.proof.policy import Policy
from assay.proof.tree import Frontier, consistency_proof, frontier
from assay.proof.trusted_keys import TrustedKeys

logger = logging.getLogger(__name__)

_STORED_HASH = """SELECT integrity_hash FROM audit_log WHERE leaf_index = ?1
                  UNION ALL SELECT content_hash FROM archived WHERE leaf_index = ?1"""
_NEWEST = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
_NOTE = "SELECT note FROM checkpoints WHERE size = ?"
_IN_QUARANTINE = "SELECT 1 FROM quarantine WHERE digest = ?"
_IN_ARCHIVE = "SELECT 1 FROM archived WHERE kind = 'quarantine' AND content_hash = ?"
_FEW = 1000  # leaf hashes; the tree of more is read from its nodes
_ID, _INTEGRITY_HASH = 0, len(_schema.COLUMNS)  # positions in a row without its index


class LogPaths(NamedTuple):
    """The database of a log, and its files."""

    database: Location
    keys: Sequence[Path]  # of signing keys, the new one first
    checkpoint: Path
    verifier: Path


class Appended(NamedTuple):
    """The entries of a batch that were new in the log.

    Args:
        rows: Rows of records, without their index.
        quarantined: Entries that were put into quarantine.
    """

    rows: Sequence[Row]
    quarantined: Sequence[QuarantineEntry]


class Log:
    """A log that this process has open for writing; an SQLite log exclusively.

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
        self._fault: AuditLogError | None = None
        with ExitStack() as opened:
            try:
                self._connection = opened.enter_context(_storage.open_writer(paths.database))
                with self._connection.transaction():
                    self._signer = self._identify(origin)
                self._load()
                self._check_seen()
                self.checkpoint()
                self._record_keys()
                self._publish()
            except (sqlite3.Error, OSError) as error:
                raise OpenError(f"{paths.database}: the log cannot be opened: {error}") from error
            self._opened = opened.pop_all()

    @property
    def verifiers(self) -> TrustedKeys:
        """The keys that verify the log's newest checkpoint; their name is the log's origin."""
        return self._signer.verifiers

    @property
    def size(self) -> int:
        """Number of entries in the log, quarantine included."""
        return self._tree.size

    @property
    def covered(self) -> int:
        """Number of entries that the newest checkpoint covers."""
        return self._covered

    @property
    def uncovered(self) -> int:
        """Number of entries that no checkpoint covers yet."""
        return self._tree.size - self._covered

    def append(self, entries: BatchEntries, *, conflicts_to_quarantine: bool) -> Appended:
        """Store all entries of a batch or none; entries that are already stored are skipped.

        Args:
            entries: The batch.
            conflicts_to_quarantine: Put a record whose id is stored with other content into quarantine.

        Raises:
            RecordIdConflictError: A record's id is stored with other content, and
                `conflicts_to_quarantine` is false. Nothing was stored.
            AuditLogError: Another program changed the log. Nothing was stored.
            sqlite3.Error: The database cannot be written. Nothing was stored.
        """
        with self._mutex:
            self._require_sound()
            try:
                appended = self._store(entries)
            except _storage.DUPLICATE:  # an id is already in the database, or twice in the batch
                appended = self._store_new(entries, conflicts_to_quarantine=conflicts_to_quarantine)
            if self._is_due():
                self._try_checkpoint()
        return appended

    def receipt(self, record_id: str) -> Mapping[str, Any] | None:
        """Return the receipt of a stored record, None if the log does not contain the record."""
        with self._mutex:
            return stored_receipt(self._connection, record_id)

    def checkpoint(self) -> None:
        """Sign a checkpoint over all entries, unless the newest checkpoint already covers them.

        If another writer signs the checkpoints, its newest one is compared with the log instead, and kept.

        Raises:
            AuditLogError: The log does not extend the last signed checkpoint.
            OSError: A file cannot be written.
            sqlite3.Error: The database cannot be written.
        """
        with self._mutex:
            self._require_sound()
            self._follow()
            if not self._connection.leads():
                self._follow_signer()
            elif self._note is None or self.uncovered:
                self._sign()
            self._publish()

    def consistency(self, old: int, size: int) -> tuple[str, list[bytes]]:
        """Return the log's own checkpoint of a size, and the proof that it extends the tree of size `old`."""
        with self._mutex:
            (note,) = self._connection.execute(_NOTE, (size,)).fetchone()
            subtrees = _storage.StoredTree(self._connection)
            return note, consistency_proof(old, size, subtrees) if 0 < old < size else []

    def has_checkpoint(self, size: int) -> bool:
        """Return whether a writer of the log has signed a checkpoint of a size."""
        with self._mutex:
            return self._connection.execute(_NOTE, (size,)).fetchone() is not None

    def witnessed(self, policy: Policy) -> int:
        """Return how many entries the newest checkpoint with the quorum of a policy covers.

        Raises:
            SignatureError: A cosignature on it is wrong.
            sqlite3.Error: The database cannot be read.
        """
        with self._mutex:
            return _cosigned.verified_witnessed(self._connection, policy)

    def cosign(self, size: int, cosignature: Cosignature, policy: Policy) -> bool:
        """Store the cosignature of a witness on a checkpoint; return whether the checkpoint has its quorum.

        The cosignature on the newest checkpoint is published with it.

        Raises:
            SignatureError: Another cosignature on the checkpoint is wrong.
            sqlite3.Error: The database cannot be written.
            DatabaseError: As above, in PostgreSQL.
        """
        with self._mutex:
            with self._following(self._connection.transaction()):
                has_quorum = _cosigned.add_cosignature(self._connection, size, cosignature, policy)
            if size == self._covered:
                self._load_note()
                self._publish()
            return has_quorum

    def refuse(self, refusal: Refusal) -> None:
        """Store the answer of a witness that contradicts the log.

        Raises:
            sqlite3.Error: The database cannot be written.
            DatabaseError: As above, in PostgreSQL.
        """
        with self._mutex, self._following(self._connection.transaction()):
            _cosigned.add_refusal(self._connection, refusal)

    def close(self) -> None:
        """Sign a last checkpoint, and close everything."""
        with self._mutex, self._opened:
            if self._fault is None:
                self.checkpoint()

    def _store(self, entries: BatchEntries) -> Appended:
        new = Appended(entries.rows, entries.quarantine())
        with self._following(self._connection.append()):
            if any(map(self._is_archived, new.quarantined)):
                raise DuplicateError("a quarantine entry is archived")
            tree = self._write(new, entries.batch.received_unix_nano)
        self._tree = tree
        return new

    def _store_new(self, entries: BatchEntries, *, conflicts_to_quarantine: bool) -> Appended:
        """Store the entries of a batch that are not stored yet."""
        with self._following(self._connection.append()):
            new = self._new(entries, conflicts_to_quarantine=conflicts_to_quarantine)
            tree = self._write(new, entries.batch.received_unix_nano)
        self._tree = tree
        return new

    @contextmanager
    def _following(self, transaction: AbstractContextManager[None]) -> Generator[None]:
        """Run the block in a transaction; before it, read what other writers did."""
        try:
            with transaction:
                self._require_unchanged_schema()
                self._follow()
                yield
        except RecordIdConflictError:  # raised before anything was written
            raise
        except BaseException:
            self._stale = True  # a failed COMMIT may have taken effect or not
            raise

    def _write(self, new: Appended, sink_time: int) -> Frontier:
        """Insert entries, and return the tree with them."""
        tree, rows = self._tree.copy(), new.rows
        first = tree.size + len(rows)
        quarantined = [entry.row(index, sink_time) for index, entry in enumerate(new.quarantined, first)]
        self._insert("audit_log", [(index, *row) for index, row in enumerate(rows, tree.size)])
        self._insert("quarantine", quarantined)
        self._connection.add_ids((row[_ID], index) for index, row in enumerate(rows, tree.size))
        nodes = tree.extend([row[-1] for row in rows] + [row[-1] for row in quarantined])
        self._insert("nodes", nodes)
        return tree

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows; a trigger of another program may not swallow one."""
        if rows and self._connection.insert(table, rows) != len(rows):
            raise self._broken(SchemaMismatchError("the database did not store every row"))

    def _require_sound(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _require_unchanged_schema(self) -> None:
        """Check the definitions again if they may have changed since the log was opened."""
        try:
            self._connection.check_unchanged()
        except SchemaMismatchError as error:
            raise self._broken(error) from error

    def _broken(self, error: AuditLogError) -> AuditLogError:
        """Return the error with which the log stops: nothing is accepted into a log that was changed."""
        self._fault = OpenError(f"another program changed the log: {error}. Run assay audit verify")
        logger.error("%s", self._fault)
        return self._fault

    def _is_due(self) -> bool:
        return self.uncovered >= self._due_records or (
            self.uncovered > 0 and time.monotonic() - self._signed_at >= self._due_seconds
        )

    def _try_checkpoint(self) -> None:
        """Sign a checkpoint. If that fails, the batch is stored all the same; the next one tries again."""
        try:
            self.checkpoint()
        except (sqlite3.Error, OSError, AuditLogError) as error:
            logger.warning("the checkpoint cannot be signed: %s", error)

    def _sign(self) -> None:
        self._connection.flush()
        try:
            signed = self._signer.sign(self._tree, _storage.StoredTree(self._connection))
        except TreeMismatchError as error:
            raise self._broken(error) from error
        size = self._tree.size
        with self._following(self._connection.transaction()):
            self._insert("checkpoints", [(size, signed)])
        self._covered, self._signed_at = size, time.monotonic()
        self._signed = self._note = signed

    def _follow_signer(self) -> None:
        self._load_note()
        if self._signed is not None:
            try:
                self._signer.follow(self._signed, _storage.StoredTree(self._connection))
            except VerificationError as error:
                raise self._broken(error) from error

    def _publish(self) -> None:
        """Write the newest checkpoint to its file, from where it can be copied elsewhere."""
        if self._note == self._published or self._note is None:
            return
        try:
            write_atomically(self.paths.checkpoint, self._note.encode())
        except OSError as error:  # the next checkpoint tries this write again
            logger.warning("%s cannot be written: %s", self.paths.checkpoint, error.strerror)
        else:
            self._published = self._note

    def _new(self, entries: BatchEntries, *, conflicts_to_quarantine: bool) -> Appended:
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
        return Appended(
            list(rows.values()), [each for each in quarantine.values() if not self._in_quarantine(each)]
        )

    def _known_hash(self, record_id: str, rows: Mapping[str, Row]) -> bytes | None:
        """Return the integrity hash of a record that is stored or in `rows`, else None."""
        index = self._connection.leaf_of(record_id)
        if index is not None:
            return self._connection.execute(_STORED_HASH, (index,)).fetchone()[0]
        return rows[record_id][_INTEGRITY_HASH] if record_id in rows else None

    def _in_quarantine(self, entry: QuarantineEntry) -> bool:
        found = self._connection.execute(_IN_QUARANTINE, (entry.digest,)).fetchone()
        return found is not None or self._is_archived(entry)

    def _is_archived(self, entry: QuarantineEntry) -> bool:
        return self._connection.execute(_IN_ARCHIVE, (entry.digest,)).fetchone() is not None

    def _identify(self, origin: str) -> Signer:
        """Check that the origin and the key are the log's; record them in a new log."""
        stored: dict[str, str] = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        self._require_keys(new_log=not stored)
        signer = Signer(self.paths.keys, origin or stored.get("origin"), socket.gethostname())
        keys = signer.verifiers.keys
        ours = {"origin": signer.verifiers.name, "verifier_key": str(keys[0])}
        if not stored:
            self._connection.insert("meta", list(ours.items()))
            return signer
        if signer.last is not None or any(str(key) in stored.values() for key in keys):
            del ours["verifier_key"]  # the key was rotated: `Signer` has verified the last checkpoint
        for name, value in ours.items():
            if stored.get(name) != value:
                raise OpenError(
                    f"{self.paths.database}: the log's {name} is {stored.get(name)!r}, not {value!r}: "
                    f"use the origin and the signing key that it was created with, or start another log"
                )
        return signer

    def _require_keys(self, *, new_log: bool) -> None:
        """Check that no signing key is missing, except one that this start creates."""
        first, *previous = self.paths.keys
        created = new_log or any(key.exists() for key in previous)
        for key in previous if created else (first, *previous):
            if not key.exists():
                raise OpenError(f"{key}: the log's signing key is missing: restore it, or start another log")

    def _record_keys(self) -> None:
        """Record keys that are new in the log, and publish the verifier keys."""
        stored: set[str] = {value for (value,) in self._connection.execute("SELECT value FROM meta")}
        new = [key for key in self.verifiers.keys if str(key) not in stored]
        if new:
            with self._connection.transaction():
                self._connection.insert("meta", [(_schema.key_name(key.id), str(key)) for key in new])
        write_atomically(self.paths.verifier, "".join(f"{key}\n" for key in self.verifiers.keys).encode())
        for key in new:
            logger.warning(
                "the key %s signs the log %s beside the previous one: publish %s, and remove the previous key"
                " from previous_keys when all auditors have the new one",
                key.id.hex(), key.name, self.paths.verifier,
            )  # fmt: skip

    def _follow(self) -> None:
        """Read what other writers did."""
        size, covered = self._connection.newest(self._tree.size, self._covered)
        if self._stale or self._connection.session != self._session:
            self._load()
            return
        if not 0 <= size - self._tree.size <= _FEW:
            self._load()
        elif size != self._tree.size:
            tree = self._tree.copy()
            tree.extend(_storage.StoredTree(self._connection).hashes(0, tree.size, size))
            self._tree = tree
        if covered != self._covered:
            self._load_note()
            self._signed_at = time.monotonic()

    def _load(self) -> None:
        """Read the state from the database."""
        session = self._connection.session
        self._tree = frontier(_storage.size(self._connection), _storage.StoredTree(self._connection))
        self._load_note()
        self._signed_at = time.monotonic()
        self._published: str | None = None
        self._session, self._stale = session, False

    def _load_note(self) -> None:
        """Read the newest checkpoint, with the cosignatures that it has so far."""
        self._covered, self._signed = self._connection.execute(_NEWEST).fetchone() or (0, None)
        self._note = self._signed and _cosigned.cosigned_note(self._connection, self._covered, self._signed)

    def _check_seen(self) -> None:
        """Check that the log extends the checkpoints in its files: the signer's, and the newest copy."""
        seen = [(str(path), note) for path, note in self._signer.kept.items()]
        if self.paths.checkpoint.exists():
            seen.append((str(self.paths.checkpoint), read_note(self.paths.checkpoint)))
        if self._note is not None:
            seen.append((f"checkpoint {self._covered} in the database", self._note))
        require_extends(self._tree.size, _storage.StoredTree(self._connection), seen, self.verifiers)
        if self._signer.last is None and self._covered:
            raise OpenError(
                f"{self._signer.path}: the last checkpoint that was signed is missing: restore it, or copy"
                f" there the newest checkpoint that was kept elsewhere. The log's own newest one covers"
                f" {self._covered} entries, and nothing shows that it was the last"
            )
