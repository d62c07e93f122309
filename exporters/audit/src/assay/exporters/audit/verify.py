"""Recomputes a log from its rows and holds it against everything that was signed.

Rows are streamed, in the order of their leaves: memory does not grow with the log. Each function checks one
thing, and raises.
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

from assay.exporters.audit import schema
from assay.exporters.audit.entry import Quarantined, Row, columns, timestamp
from assay.exporters.audit.errors import (
    RecordMismatchError,
    RollbackError,
    SchemaMismatchError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
)
from assay.exporters.audit.note import Checkpoint, VerifierKey, open_checkpoint
from assay.exporters.audit.sequence import Chains
from assay.exporters.audit.storage import LEAF_COUNT, open_read_only
from assay.exporters.audit.tree import STORED_LEVELS, Frontier, leaf_hash

_RECORDS = f"""SELECT leaf_index, {", ".join(schema.COLUMNS)}, integrity_hash, CAST(leaf AS BLOB), leaf_hash
               FROM audit_log ORDER BY leaf_index"""  # noqa: S608  our own column names
_QUARANTINE = """SELECT leaf_index, digest, kind, record_id, reason, encoding, payload, inserted_at,
                 sink_time_unix_nano, leaf_hash FROM quarantine ORDER BY leaf_index"""
_NODE = "SELECT hash FROM nodes WHERE level = ? AND node_index = ?"
_CHECKPOINTS = "SELECT size, note FROM checkpoints ORDER BY size"
_OUT_OF_PLACE = "SELECT id FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index LIMIT 1"
_RECORD, _INTEGRITY, _RESOURCE = b'{"record":', b'{"integrity":', b',"resource":'
_WIDTH = len(schema.COLUMNS) + 4  # of a row of `_RECORDS`
# What a row that no sink wrote may raise, wherever it is looked into.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError)
_DECODER = json.JSONDecoder()
_PROGRESS_EVERY = 10_000  # entries; a multiple of what a stored node covers
_SHOWN = 60  # characters of a value in a message

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Verified:
    """What held.

    Args:
        origin: The log.
        records: Records in it.
        quarantined: Entries in quarantine.
        checkpoints: Signed checkpoints, each an extension of the one before.
        covered: Entries that the newest checkpoint covers; those after it are proven by none yet.
        root: Root hash of everything, hexadecimal.
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
    """Verify a log. Needs no network, and changes nothing.

    Args:
        database: The log's database; a sink may be writing it.
        key: The log's verifier key, from a source that one trusts.
        checkpoint: A signed checkpoint that was kept elsewhere: shows a log that was rolled back or cut.
        progress: Called now and then with the entries done, and how many there are.

    Raises:
        VerificationError: Something does not hold; the first is named.
        OpenError: The database cannot be read.
    """
    kept = None if checkpoint is None else open_checkpoint(checkpoint, key)
    connection = open_read_only(database)
    try:
        connection.execute("BEGIN")  # one state of the log, whatever is written meanwhile
        return _Verifier(connection, key, kept).run(progress or (lambda _done, _of: None))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise VerificationError(f"{database}: the database is damaged: {error}") from error
    finally:
        connection.close()


class _Verifier:
    def __init__(self, connection: sqlite3.Connection, key: VerifierKey, kept: Checkpoint | None) -> None:
        self._connection = connection
        self._key = key
        self._kept = kept
        self._tree = Frontier()
        self._chains = Chains()
        self._quarantined = self._nodes = self._signed = 0  # what was seen
        self._covered = 0
        self._sink_time = self._inserted_at = ""  # of the record before
        self._kept_found = False

    def run(self, progress: Progress) -> Verified:
        self._check_identity()
        total: int = self._connection.execute(LEAF_COUNT).fetchone()[0]
        checkpoints = self._checkpoints()
        due = next(checkpoints, None)
        if due is None:
            raise SignatureError("the log has no checkpoint: they were removed, nothing in it is proven")
        if due.size:
            raise SignatureError("the log's first checkpoint, which is of size 0, was removed")
        due = self._reached(due, checkpoints)
        leaves: list[bytes] = []  # that the tree has not got yet: in batches it is twice as fast
        stop = self._next_stop(due)
        with closing(self._rows()) as rows:
            for row in rows:
                if row[0] != self._tree.size + len(leaves):
                    raise self._missing(row, self._tree.size + len(leaves), total)
                self._check(row)
                leaves.append(row[-1])
                if row[0] + 1 == stop:
                    self._grow(leaves, row)
                    leaves.clear()
                    due = self._reached(due, checkpoints)
                    stop = self._next_stop(due)
                    if not self._tree.size % _PROGRESS_EVERY:
                        progress(self._tree.size, total)
        self._tree.extend(leaves)
        progress(total, total)
        if due is not None:
            raise TreeMismatchError(
                f"checkpoint {due.size}: the log has only {self._tree.size} entries: its tail was cut off"
            )
        self._check_end()
        return Verified(
            self._key.name,
            self._tree.size - self._quarantined,
            self._quarantined,
            self._signed,
            self._covered,
            self._tree.root().hex(),
        )

    def _check_identity(self) -> None:
        stored = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        if stored != {"origin": self._key.name, "verifier_key": str(self._key)}:
            raise SchemaMismatchError(
                f"meta: the log says that it is {stored.get('origin')!r} with key "
                f"{stored.get('verifier_key')!r}, the key given is {str(self._key)!r}: "
                f"the wrong key, or a replaced one"
            )

    def _checkpoints(self) -> Iterator[Checkpoint]:
        for size, text in self._connection.execute(_CHECKPOINTS):
            try:
                checkpoint = open_checkpoint(text, self._key)
            except SignatureError as error:
                raise SignatureError(f"checkpoint {size}: {error}") from error
            if checkpoint.size != size:
                raise SignatureError(f"checkpoint {size}: the signed size is {checkpoint.size}")
            yield checkpoint

    def _rows(self) -> Generator[Row]:
        """Return the rows of all entries, in the order of their leaves."""
        return heapq.merge(
            self._connection.execute(_RECORDS), self._connection.execute(_QUARANTINE), key=itemgetter(0)
        )

    def _check(self, row: Row) -> None:
        """Check that an entry holds in itself."""
        try:
            if len(row) == _WIDTH:
                self._check_record(row)
            else:
                self._quarantined += 1
                _check_quarantined(row)
        except _MALFORMED as error:
            raise RecordMismatchError(f"{_name(row)}: its content is no entry of a log") from error

    def _check_record(self, row: Row) -> None:
        integrity_hash, leaf, stored_hash = row[-3:]
        if leaf_hash(leaf) != stored_hash:
            raise RecordMismatchError(f"{_name(row)}: its content is not what was hashed into leaf_hash")
        content: dict[str, Any] = orjson.loads(leaf)
        record, sink_time = content["record"], content["sinkTimeUnixNano"]
        if sink_time != self._sink_time:  # the records of a batch have the same
            self._sink_time, self._inserted_at = sink_time, timestamp(int(sink_time))
        stored, expected = row[1:-3], columns(record, self._inserted_at)
        if stored != expected:
            column, is_, should_be = next(
                found for found in zip(schema.COLUMNS, stored, expected, strict=True) if found[1] != found[2]
            )
            raise RecordMismatchError(
                f"{_name(row)}: {column} is {_shown(is_)}, the record says {_shown(should_be)}"
            )
        digest = hashlib.sha256(_canonical_record(leaf)).digest()
        if digest != integrity_hash:
            raise RecordMismatchError(f"{_name(row)}: integrity_hash is not that of its content")
        self._chains.add(record, digest)

    def _next_stop(self, due: Checkpoint | None) -> int:
        """Return the next size of the tree at which there is something to hold it against."""
        subtree = 1 << STORED_LEVELS
        sizes = [(self._tree.size // subtree + 1) * subtree]
        sizes += [checkpoint.size for checkpoint in (due, self._kept) if checkpoint is not None]
        return min(size for size in sizes if size > self._tree.size)

    def _grow(self, leaves: list[bytes], row: Row) -> None:
        for level, index, node in self._tree.extend(leaves):
            stored = self._connection.execute(_NODE, (level, index)).fetchone()
            if stored is None or stored[0] != node:
                first = index << level
                raise TreeMismatchError(
                    f"{_name(row)}: leaves {first} to {self._tree.size - 1} do not add up to the stored node "
                    f"(level {level}, index {index}): one was changed, swapped, inserted or removed"
                )
            self._nodes += 1

    def _reached(self, due: Checkpoint | None, checkpoints: Iterator[Checkpoint]) -> Checkpoint | None:
        """Hold the tree against the checkpoints of its present size; return the next one."""
        if (
            self._kept is not None
            and self._kept.size == self._tree.size
            and self._kept.root != self._tree.root()
        ):
            raise RollbackError(
                f"the log is at odds with the checkpoint kept elsewhere (size {self._kept.size}): "
                f"it was rewritten"
            )
        if due is None or due.size != self._tree.size:
            return due
        if due.root != self._tree.root():
            raise TreeMismatchError(
                f"checkpoint {due.size}: entries {self._covered} to {due.size - 1} do not add up to its "
                f"signed root: one was changed, swapped, inserted or removed, together with its hashes"
            )
        self._signed += 1
        self._covered = due.size
        self._kept_found |= self._kept is not None and self._kept.size == due.size
        return next(checkpoints, None)

    def _missing(self, row: Row, size: int, total: int) -> TreeMismatchError:
        index, name = row[0], _name(row)
        message = f"leaf {size} is missing before {name}: removed or moved"
        stray = self._connection.execute(_OUT_OF_PLACE, (total,)).fetchone()
        if index < size:
            message = f"{name}: there are two entries with leaf index {index}"
        elif stray is not None:
            message += f"; record {stray[0]} stands beyond the end"
        return TreeMismatchError(message)

    def _check_end(self) -> None:
        if self._kept is not None and self._kept.size > self._tree.size:
            raise RollbackError(
                f"the checkpoint kept elsewhere covers {self._kept.size} entries, the log has "
                f"{self._tree.size}: it was rolled back or cut off"
            )
        if self._kept is not None and not self._kept_found:
            raise RollbackError(
                f"the checkpoint kept elsewhere (size {self._kept.size}) is not among the log's: "
                f"it was removed"
            )
        nodes: int = self._connection.execute("SELECT count(*) FROM nodes").fetchone()[0]
        if nodes != self._nodes:
            raise TreeMismatchError(f"there are {nodes} stored nodes, the entries make {self._nodes}")
        self._chains.close()
        # Last: whoever changed a record dropped a trigger first, and the record is what matters.
        schema.check_definitions(self._connection)


def _check_quarantined(row: Row) -> None:
    index, digest, kind, record_id, reason, encoding, payload, inserted_at, sink_time, stored_hash = row
    entry = Quarantined(kind, reason, encoding, payload, record_id)
    expected = entry.row(index, sink_time)
    if digest != entry.digest or inserted_at != timestamp(sink_time) or stored_hash != expected[-1]:
        raise RecordMismatchError(f"{_name(row)}: it is not what was hashed into leaf_hash")


def _name(row: Row) -> str:
    """Return what a message calls an entry."""
    if len(row) == _WIDTH:
        return f"record {row[1]} (leaf {row[0]})"
    return f"quarantine entry of record {row[3] or 'without an id'} (leaf {row[0]})"


def _canonical_record(leaf: bytes) -> bytes:
    """Return the part of a leaf that is the record's canonical form."""
    # Within a string the quotes would be escaped: this is a key, and nearly always the one that ends the
    # record.
    end = leaf.find(_RESOURCE)
    if end == leaf.rfind(_RESOURCE) and leaf.startswith(_RECORD):
        return leaf[len(_RECORD) : end]
    text, start = leaf.decode(), len(_RECORD)
    if not leaf.startswith(_RECORD):
        start += _DECODER.raw_decode(text, len(_INTEGRITY))[1]
    return text[start : _DECODER.raw_decode(text, start)[1]].encode()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
