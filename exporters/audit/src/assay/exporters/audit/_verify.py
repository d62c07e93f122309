"""Recompute a log from its rows and compare it with every signed checkpoint.

Rows are streamed in the order of their leaves, so memory does not grow with the log. Each function checks one
property and raises an error if it does not hold.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from assay.exporters.audit import _schema
from assay.exporters.audit._entry import QuarantineEntry, Row, columns, timestamp
from assay.exporters.audit._errors import (
    RecordMismatchError,
    RollbackError,
    SchemaMismatchError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
    named,
    shortened,
)
from assay.exporters.audit._note import Checkpoint, VerifierKey, open_checkpoint
from assay.exporters.audit._sequence import Chains
from assay.exporters.audit._storage import LEAF_COUNT, open_read_only
from assay.exporters.audit._tree import STORED_LEVELS, Frontier, leaf_hash

_RECORDS = f"""SELECT leaf_index, {", ".join(_schema.COLUMNS)}, integrity_hash, CAST(leaf AS BLOB), leaf_hash
               FROM audit_log ORDER BY leaf_index"""  # noqa: S608  our own column names
_QUARANTINE = """SELECT leaf_index, digest, kind, record_id, reason, encoding, payload, inserted_at,
                 sink_time_unix_nano, leaf_hash FROM quarantine ORDER BY leaf_index"""
_NODE = "SELECT hash FROM nodes WHERE level = ? AND node_index = ?"
_CHECKPOINTS = "SELECT size, note FROM checkpoints ORDER BY size"
_BEYOND_END = "SELECT id FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index LIMIT 1"
_RECORD, _INTEGRITY, _RESOURCE = b'{"record":', b'{"integrity":', b',"resource":'
_WIDTH = len(_schema.COLUMNS) + 4  # columns of `_RECORDS`
# Errors that the content of a forged row may cause in any check.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError)
_DECODER = json.JSONDecoder()
_PROGRESS_EVERY = 10_000  # entries; a multiple of the entries that a stored node covers

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a verification that found no fault.

    Args:
        origin: Name of the log.
        records: Number of records.
        quarantined: Number of quarantine entries.
        checkpoints: Number of signed checkpoints; each extends the one before.
        covered: Number of entries that the newest checkpoint covers; no checkpoint proves later entries yet.
        root: Root hash of all entries, hexadecimal.
    """

    origin: str
    records: int
    quarantined: int
    checkpoints: int
    covered: int
    root: str


def verify(
    database: Path, key: VerifierKey, *, checkpoint: str | None = None, progress: Progress | None = None
) -> Verified:
    """Verify a log offline; the log is not changed.

    Args:
        database: The log's database; a sink may be writing to it.
        key: The log's verifier key, from a trusted source.
        checkpoint: A signed checkpoint that was kept elsewhere; it reveals a log that was rolled back or
            truncated.
        progress: Called from time to time with the number of verified entries and the number of all entries.

    Raises:
        VerificationError: Verification failed; the message names the first fault.
        OpenError: The database cannot be read.
    """
    kept = None if checkpoint is None else open_checkpoint(checkpoint, key)
    connection = open_read_only(database)
    try:
        connection.execute("BEGIN")  # read one state of the log while a sink may write
        return _Verification(connection, key, kept).run(progress or (lambda _done, _total: None))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise VerificationError(f"{database}: the database is damaged: {error}") from error
    finally:
        connection.close()


class _Verification:
    """One pass over a log. `kept` is the checkpoint that was kept elsewhere."""

    def __init__(self, connection: sqlite3.Connection, key: VerifierKey, kept: Checkpoint | None) -> None:
        self._connection = connection
        self._key = key
        self._kept = kept
        self._tree = Frontier()
        self._chains = Chains()
        self._quarantined = self._nodes = self._checkpoints = 0  # numbers verified so far
        self._covered = 0
        self._sink_time = self._inserted_at = ""  # of the previous record
        self._kept_found = False

    def run(self, progress: Progress) -> Verified:
        self._check_identity()
        total: int = self._connection.execute(LEAF_COUNT).fetchone()[0]
        checkpoints = self._stored_checkpoints()
        due = self._check_checkpoints(_first(checkpoints), checkpoints)
        leaves: list[bytes] = []  # not yet in the tree: extending it in batches is twice as fast
        stop = self._next_stop(due)
        with closing(self._rows()) as rows:
            for row in rows:
                if row[0] != self._tree.size + len(leaves):
                    raise self._gap(row, self._tree.size + len(leaves), total)
                self._check_entry(row)
                leaves.append(row[-1])
                if row[0] + 1 == stop:
                    self._extend(leaves, row)
                    leaves.clear()
                    due = self._check_checkpoints(due, checkpoints)
                    stop = self._next_stop(due)
                    if not self._tree.size % _PROGRESS_EVERY:
                        progress(self._tree.size, total)
        self._tree.extend(leaves)
        progress(total, total)
        if due is not None:
            raise TreeMismatchError(
                f"checkpoint {due.size}: the log has only {self._tree.size} entries: its tail was removed"
            )
        self._check_end()
        return Verified(
            self._key.name,
            self._tree.size - self._quarantined,
            self._quarantined,
            self._checkpoints,
            self._covered,
            self._tree.root().hex(),
        )

    def _check_identity(self) -> None:
        stored = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        if stored != {"origin": self._key.name, "verifier_key": str(self._key)}:
            raise SchemaMismatchError(
                f"meta: the log has the origin {shortened(stored.get('origin'))} and the key "
                f"{stored.get('verifier_key')!r}, the given key is {str(self._key)!r}: "
                f"either is wrong, or the log's key was replaced"
            )

    def _stored_checkpoints(self) -> Iterator[Checkpoint]:
        """Yield the log's checkpoints by size, each with a verified signature."""
        for size, text in self._connection.execute(_CHECKPOINTS):
            try:
                checkpoint = open_checkpoint(text, self._key)
            except SignatureError as error:
                raise SignatureError(f"checkpoint {size}: {error}") from error
            if checkpoint.size != size:
                raise SignatureError(f"checkpoint {size}: its signed size is {checkpoint.size}")
            yield checkpoint

    def _rows(self) -> Generator[Row]:
        """Return the rows of all entries in the order of their leaves."""
        return heapq.merge(
            self._connection.execute(_RECORDS), self._connection.execute(_QUARANTINE), key=itemgetter(0)
        )

    def _check_entry(self, row: Row) -> None:
        """Check an entry's columns and hashes against its leaf."""
        try:
            if len(row) == _WIDTH:
                self._check_record(row)
            else:
                self._quarantined += 1
                _check_quarantined(row)
        except _MALFORMED as error:
            raise RecordMismatchError(f"{_title(row)}: its content is not a log entry") from error

    def _check_record(self, row: Row) -> None:
        integrity_hash, leaf, stored_hash = row[-3:]
        if leaf_hash(leaf) != stored_hash:
            raise RecordMismatchError(f"{_title(row)}: leaf_hash is not the hash of its content")
        content: dict[str, Any] = orjson.loads(leaf)
        record, sink_time = content["record"], content["sinkTimeUnixNano"]
        if sink_time != self._sink_time:  # records of one batch share it
            self._sink_time, self._inserted_at = sink_time, timestamp(int(sink_time))
        stored, expected = row[1:-3], columns(record, self._inserted_at)
        if stored != expected:
            column, found, logged = next(
                each for each in zip(_schema.COLUMNS, stored, expected, strict=True) if each[1] != each[2]
            )
            raise RecordMismatchError(
                f"{_title(row)}: {column} is {shortened(found)}, the record says {shortened(logged)}"
            )
        digest = hashlib.sha256(_canonical_record(leaf)).digest()
        if digest != integrity_hash:
            raise RecordMismatchError(f"{_title(row)}: integrity_hash is not the hash of its content")
        self._chains.add(record, digest)

    def _next_stop(self, due: Checkpoint | None) -> int:
        """Return the next tree size that a stored node or a checkpoint can be compared with."""
        subtree = 1 << STORED_LEVELS
        sizes = [(self._tree.size // subtree + 1) * subtree]
        sizes += [checkpoint.size for checkpoint in (due, self._kept) if checkpoint is not None]
        return min(size for size in sizes if size > self._tree.size)

    def _extend(self, leaves: list[bytes], row: Row) -> None:
        """Extend the tree and compare the nodes that become complete with the stored ones."""
        for level, index, node in self._tree.extend(leaves):
            stored = self._connection.execute(_NODE, (level, index)).fetchone()
            if stored is None or stored[0] != node:
                first = index << level
                raise TreeMismatchError(
                    f"{_title(row)}: leaves {first} to {self._tree.size - 1} do not hash to the stored node "
                    f"(level {level}, index {index}): one was changed, swapped, inserted or removed"
                )
            self._nodes += 1

    def _check_checkpoints(
        self, due: Checkpoint | None, checkpoints: Iterator[Checkpoint]
    ) -> Checkpoint | None:
        """Compare the tree with the checkpoints of its present size; return the log's next checkpoint."""
        if (
            self._kept is not None
            and self._kept.size == self._tree.size
            and self._kept.root != self._tree.root()
        ):
            raise RollbackError(
                f"the log contradicts the checkpoint kept elsewhere (size {self._kept.size}): "
                f"it was rewritten"
            )
        if due is None or due.size != self._tree.size:
            return due
        if due.root != self._tree.root():
            raise TreeMismatchError(
                f"checkpoint {due.size}: entries {self._covered} to {due.size - 1} do not hash to its "
                f"signed root: one was changed, swapped, inserted or removed, together with its hashes"
            )
        self._checkpoints += 1
        self._covered = due.size
        self._kept_found |= self._kept is not None and self._kept.size == due.size
        return next(checkpoints, None)

    def _gap(self, row: Row, expected: int, total: int) -> TreeMismatchError:
        """Return the error for an entry that does not have the expected leaf index."""
        index, title = row[0], _title(row)
        if index < expected:
            return TreeMismatchError(f"{title}: another entry has the same leaf index {index}")
        message = f"leaf {expected} is missing before {title}: it was removed or moved"
        moved = self._connection.execute(_BEYOND_END, (total,)).fetchone()
        if moved is not None:
            message += f"; record {named(moved[0])} has a leaf index beyond the end"
        return TreeMismatchError(message)

    def _check_end(self) -> None:
        if self._kept is not None and self._kept.size > self._tree.size:
            raise RollbackError(
                f"the checkpoint kept elsewhere covers {self._kept.size} entries, the log has "
                f"{self._tree.size}: it was rolled back or truncated"
            )
        if self._kept is not None and not self._kept_found:
            raise RollbackError(
                f"the log lacks the checkpoint kept elsewhere (size {self._kept.size}): it was removed"
            )
        nodes: int = self._connection.execute("SELECT count(*) FROM nodes").fetchone()[0]
        if nodes != self._nodes:
            raise TreeMismatchError(f"the log stores {nodes} tree nodes, its entries make {self._nodes}")
        self._chains.close()
        # Last: a changed record implies a dropped trigger, and the message must name the record.
        _schema.check_definitions(self._connection)


def _first(checkpoints: Iterator[Checkpoint]) -> Checkpoint:
    """Return the first checkpoint, which has size 0: the sink signs it when it creates the log."""
    first = next(checkpoints, None)
    if first is None:
        raise SignatureError("the log has no checkpoint: they were removed, so nothing proves its entries")
    if first.size:
        raise SignatureError("the log's first checkpoint, which has size 0, was removed")
    return first


def _check_quarantined(row: Row) -> None:
    index, digest, kind, record_id, reason, encoding, payload, inserted_at, sink_time, stored_hash = row
    entry = QuarantineEntry(kind, reason, encoding, payload, record_id)
    expected = entry.row(index, sink_time)
    if digest != entry.digest or inserted_at != timestamp(sink_time) or stored_hash != expected[-1]:
        raise RecordMismatchError(f"{_title(row)}: leaf_hash is not the hash of its content")


def _title(row: Row) -> str:
    """Return the name of an entry for a message."""
    if len(row) == _WIDTH:
        return f"record {named(row[1])} (leaf {named(row[0])})"
    return f"quarantine entry of record {named(row[3]) if row[3] else 'without an id'} (leaf {named(row[0])})"


def _canonical_record(leaf: bytes) -> bytes:
    """Return the record's canonical form, which is a part of the leaf."""
    # Inside a string the quotes would be escaped, so each match is an object key. If there is only one, it is
    # the key that follows the record.
    end = leaf.find(_RESOURCE)
    if end == leaf.rfind(_RESOURCE) and leaf.startswith(_RECORD):
        return leaf[len(_RECORD) : end]
    text, start = leaf.decode(), len(_RECORD)
    if not leaf.startswith(_RECORD):
        start += _DECODER.raw_decode(text, len(_INTEGRITY))[1]
    return text[start : _DECODER.raw_decode(text, start)[1]].encode()
