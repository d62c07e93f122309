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
from assay.exporters.audit.tree import Frontier, leaf_hash

_RECORDS = f"""SELECT leaf_index, {", ".join(schema.COLUMNS)}, integrity_hash, leaf, leaf_hash
               FROM audit_log ORDER BY leaf_index"""  # noqa: S608  our own column names
_QUARANTINE = """SELECT leaf_index, digest, kind, record_id, reason, encoding, payload, inserted_at,
                 sink_time_unix_nano, leaf_hash FROM quarantine ORDER BY leaf_index"""
_NODE = "SELECT hash FROM nodes WHERE level = ? AND node_index = ?"
_CHECKPOINTS = "SELECT size, note FROM checkpoints ORDER BY size"
_OUT_OF_PLACE = "SELECT id FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index LIMIT 1"
_RECORD, _INTEGRITY, _RESOURCE = '{"record":', '{"integrity":', ',"resource":'
_DECODER = json.JSONDecoder()
_PROGRESS_EVERY = 10_000  # entries
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
        self._counts = {"record": 0, "quarantine": 0, "checkpoint": 0, "node": 0}
        self._covered = 0
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
        with closing(self._entries()) as entries:
            for index, name, leaf in entries:
                if index != self._tree.size:
                    raise self._missing(index, name, total)
                self._grow(leaf, name)
                due = self._reached(due, checkpoints)
                if not index % _PROGRESS_EVERY:
                    progress(index, total)
        progress(total, total)
        if due is not None:
            raise TreeMismatchError(
                f"checkpoint {due.size}: the log has only {self._tree.size} entries: its tail was cut off"
            )
        self._check_end()
        return Verified(
            self._key.name,
            self._counts["record"],
            self._counts["quarantine"],
            self._counts["checkpoint"],
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

    def _entries(self) -> Generator[tuple[int, str, bytes]]:
        """Yield index, name and leaf hash of every entry that holds in itself."""
        rows = heapq.merge(
            self._connection.execute(_RECORDS), self._connection.execute(_QUARANTINE), key=itemgetter(0)
        )
        width = len(schema.COLUMNS) + 4
        with closing(rows):
            for row in rows:
                if len(row) == width:
                    self._counts["record"] += 1
                    yield row[0], *self._check_record(row)
                else:
                    self._counts["quarantine"] += 1
                    yield row[0], *_check_quarantined(row)

    def _check_record(self, row: Row) -> tuple[str, bytes]:
        index, stored = row[0], row[1:-3]
        integrity_hash, leaf, stored_hash = row[-3:]
        name = f"record {row[1]} (leaf {index})"
        if leaf_hash(leaf.encode()) != stored_hash:
            raise RecordMismatchError(f"{name}: its content is not what was hashed into leaf_hash")
        try:
            content: dict[str, Any] = orjson.loads(leaf)
            expected = columns(content["record"], timestamp(int(content["sinkTimeUnixNano"])))
            digest = hashlib.sha256(_canonical_record(leaf).encode()).digest()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordMismatchError(f"{name}: its content is no audit record") from error
        for column, is_, should_be in zip(schema.COLUMNS, stored, expected, strict=True):
            if is_ != should_be:
                raise RecordMismatchError(
                    f"{name}: {column} is {_shown(is_)}, the record says {_shown(should_be)}"
                )
        if digest != integrity_hash:
            raise RecordMismatchError(f"{name}: integrity_hash is not that of its content")
        self._chains.add(content["record"], digest.hex())
        return name, stored_hash

    def _grow(self, leaf: bytes, name: str) -> None:
        for level, index, node in self._tree.extend((leaf,)):
            stored = self._connection.execute(_NODE, (level, index)).fetchone()
            if stored is None or stored[0] != node:
                first = index << level
                raise TreeMismatchError(
                    f"{name}: leaves {first} to {self._tree.size - 1} do not add up to the stored node "
                    f"(level {level}, index {index}): one was changed, swapped, inserted or removed"
                )
            self._counts["node"] += 1

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
        self._counts["checkpoint"] += 1
        self._covered = due.size
        self._kept_found |= self._kept is not None and self._kept.size == due.size
        return next(checkpoints, None)

    def _missing(self, index: int, name: str, total: int) -> TreeMismatchError:
        message = f"leaf {self._tree.size} is missing before {name}: removed or moved"
        stray = self._connection.execute(_OUT_OF_PLACE, (total,)).fetchone()
        if index < self._tree.size:
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
        if nodes != self._counts["node"]:
            raise TreeMismatchError(
                f"there are {nodes} stored nodes, the entries make {self._counts['node']}"
            )
        self._chains.close()
        # Last: whoever changed a record dropped a trigger first, and the record is what matters.
        schema.check_definitions(self._connection)


def _check_quarantined(row: Row) -> tuple[str, bytes]:
    index, digest, kind, record_id, reason, encoding, payload, inserted_at, sink_time, stored_hash = row
    name = f"quarantine entry of record {record_id or 'without an id'} (leaf {index})"
    entry = Quarantined(kind, reason, encoding, payload, record_id)
    expected = entry.row(index, sink_time)
    if digest != entry.digest or inserted_at != timestamp(sink_time) or stored_hash != expected[-1]:
        raise RecordMismatchError(f"{name}: it is not what was hashed into leaf_hash")
    return name, stored_hash


def _canonical_record(leaf: str) -> str:
    """Return the part of a leaf that is the record's canonical form."""
    start = len(_RECORD)
    if not leaf.startswith(_RECORD):
        start = _DECODER.raw_decode(leaf, len(_INTEGRITY))[1] + len(_RECORD)
    # Within a string the quotes would be escaped: this is a key, and nearly always the one that ends the
    # record.
    end = leaf.index(_RESOURCE) if leaf.count(_RESOURCE) == 1 else _DECODER.raw_decode(leaf, start)[1]
    return leaf[start:end]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
