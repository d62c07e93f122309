"""Recompute a log from its rows and compare it with every signed checkpoint.

Rows are streamed in the order of their leaves, so memory does not grow with the log. Each function checks one
property and raises an error if it does not hold.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from assay.exporters.audit import _schema
from assay.exporters.audit._archives import Archive
from assay.exporters.audit._cosigned import Refusal, read_refusals
from assay.exporters.audit._cosigned_check import CosignatureChecker, Cosigned
from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import (
    RollbackError,
    SchemaMismatchError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
    named,
    shortened,
)
from assay.exporters.audit._ids import IdSum
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._rows import ARCHIVED, RowChecker, live_entries, title
from assay.exporters.audit._sequence import ChainFault
from assay.exporters.audit._storage import LEAF_COUNT, Reader, StoredTree, open_read_only, size
from assay.exporters.audit._verify_archives import ArchiveChecker
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.policy import Policy
from assay.proof.tree import STORED_LEVELS, Frontier, frontier
from assay.proof.trusted_keys import TrustedKeys

_NODE = "SELECT hash FROM nodes WHERE level = ? AND node_index = ?"
_CHECKPOINTS = "SELECT size, note FROM checkpoints ORDER BY size"
_NEWEST = "SELECT max(size) FROM checkpoints"
_BEYOND_END = "SELECT id FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index LIMIT 1"
_QUARANTINED = """SELECT (SELECT count(*) FROM quarantine)
                       + (SELECT count(*) FROM archived WHERE kind = 'quarantine')"""
_PROGRESS_EVERY = 10_000  # entries; a multiple of the entries that a stored node covers
_STORED_WITHIN = 2.0  # seconds in which a sink stores the checkpoint that its signer has kept

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Signed:
    """The checkpoints that a key signed.

    Args:
        key: The key.
        first: Size of the first one.
        newest: Size of the newest one.
    """

    key: VerifierKey
    first: int
    newest: int


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
        kept: Size of the checkpoint kept elsewhere that the log was compared with; None without one.
        first: First entry that was read; the entries before it were compared by their stored hashes.
        signers: The keys that signed the log, each with its first and its newest checkpoint, in the order of
            the first.
        chains: The broken chains of producers. They do not concern the integrity of the log. Empty in a
            verification that did not start with the first entry.
        cosigners: The witnesses of the policy; empty without one.
        witnessed: Number of entries that the newest checkpoint with the policy's quorum covers; 0 without a
            policy.
        refusals: The answers of witnesses that contradict the log: evidence of a fork, here or at a witness.
        archives: The archives of the log, the oldest first. Records and quarantine entries include theirs.
        archives_verified: Whether the archives were verified. If not, only their hashes were, and not the
            chains of producers.
    """

    origin: str
    records: int
    quarantined: int
    checkpoints: int
    covered: int
    root: str
    kept: int | None
    first: int
    signers: tuple[Signed, ...]
    chains: tuple[ChainFault, ...]
    cosigners: tuple[Cosigned, ...] = ()
    witnessed: int = 0
    refusals: tuple[Refusal, ...] = ()
    archives: tuple[Archive, ...] = ()
    archives_verified: bool = True


def verify(  # noqa: PLR0913  one for each thing that an auditor has
    database: Location,
    key: VerifierKey | TrustedKeys,
    *,
    checkpoint: str | None = None,
    since: str | None = None,
    policy: Policy | None = None,
    archives: Path | None = None,
    progress: Progress | None = None,
) -> Verified:
    """Verify a log offline; the log is not changed.

    The integrity of the whole log is verified first. Broken chains of producers are in the result.

    Args:
        database: The log's database; a sink may be writing to it.
        key: The log's verifier key, from a trusted source; or several, if the log's key was rotated. Each
            checkpoint must be signed by one of them, and the newest as they require.
        checkpoint: A signed checkpoint that was kept elsewhere; it reveals a log that was rolled back,
            truncated, or rewritten and signed again.
        since: A signed checkpoint up to which the log was verified before. The entries that it covers are not
            read again; their stored hashes must lead to its root.
        policy: The witnesses whose cosignatures are verified. At least one checkpoint must have the quorum.
        archives: Folder with the log's archives, which are verified too. Each must be there.
        progress: Called from time to time with the number of verified entries and the number of all entries.

    Raises:
        VerificationError: Verification failed; the message names the first fault.
        OpenError: The database or an archive cannot be read.
    """
    keys = TrustedKeys.of(key)
    kept = None if checkpoint is None else keys.open_earlier(checkpoint)[0]
    start = None if since is None else keys.open_earlier(since)[0]
    connection = open_read_only(database)
    try:
        _await_stored(connection, kept)
        connection.execute("BEGIN")  # read one state of the log while a sink may write
        cosignatures = CosignatureChecker(connection, policy)
        checker = ArchiveChecker(connection, keys, archives)
        return _Verification(connection, keys, kept, start, cosignatures, checker).run(
            progress or (lambda _done, _total: None)
        )
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise VerificationError(f"{database}: the database is damaged: {error}") from error
    finally:
        connection.close()


def _await_stored(connection: Reader, kept: Checkpoint | None) -> None:
    """Wait for the log to store a checkpoint that its signer has just kept; a missing one is found later."""
    deadline = time.monotonic() + _STORED_WITHIN
    while kept is not None and kept.size > (connection.execute(_NEWEST).fetchone()[0] or 0):
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


class _Verification:
    """One pass over a log.

    Args:
        connection: The log, within a transaction.
        keys: The log's verifier keys.
        kept: The checkpoint that was kept elsewhere.
        start: The checkpoint up to which the log was verified before.
        cosignatures: Checks the cosignatures of witnesses.
        archives: Checks the archives.
    """

    def __init__(  # noqa: PLR0913, PLR0917  what is compared with each other
        self,
        connection: Reader,
        keys: TrustedKeys,
        kept: Checkpoint | None,
        start: Checkpoint | None,
        cosignatures: CosignatureChecker,
        archives: ArchiveChecker,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._cosignatures = cosignatures
        self._archives = archives
        self._signers: dict[VerifierKey, Signed] = {}
        self._kept = kept
        self._first = 0 if start is None else start.size
        self._tree = Frontier() if start is None else self._verified_before(start)
        self._rows = RowChecker(connection)
        self._checkpoints = 0  # number verified so far
        self._covered = 0
        self._kept_found = kept is not None and kept.size < self._first and self._extends(kept)

    def run(self, progress: Progress) -> Verified:
        self._check_identity()
        self._archives.check(self._rows, self._first)
        total = size(self._connection)
        checkpoints = self._stored_checkpoints()
        due = self._check_checkpoints(self._first_due(checkpoints), checkpoints)
        leaves: list[bytes] = []  # not yet in the tree: extending it in batches is twice as fast
        stop = self._next_stop(due)
        with closing(self._entries()) as rows:
            for row in rows:
                if row[0] != self._tree.size + len(leaves):
                    raise self._gap(row, self._tree.size + len(leaves))
                self._rows.check(row)
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
        quarantined = self._quarantined()
        return Verified(
            origin=self._keys.name,
            records=self._tree.size - quarantined,
            quarantined=quarantined,
            checkpoints=self._checkpoints,
            covered=self._covered,
            root=self._tree.root().hex(),
            kept=None if self._kept is None else self._kept.size,
            first=self._first,
            signers=tuple(self._signers.values()),
            chains=() if self._first_read() else self._rows.chains.faults(),
            cosigners=self._cosignatures.cosigners(),
            witnessed=self._cosignatures.witnessed(),
            refusals=tuple(read_refusals(self._connection)),
            archives=self._archives.archives,
            archives_verified=self._archives.are_verified,
        )

    def _verified_before(self, start: Checkpoint) -> Frontier:
        """Return the tree of the entries that were verified before, from its stored nodes."""
        entries = size(self._connection)
        if start.size > entries:
            raise RollbackError(f"the log has {entries} entries, it was verified up to {start.size} before")
        tree = frontier(start.size, StoredTree(self._connection))
        if tree.root() != start.root:
            raise TreeMismatchError(
                f"the stored hashes of the entries before {start.size} do not lead to the root of the"
                " checkpoint up to which the log was verified before: verify the whole log"
            )
        return tree

    def _extends(self, kept: Checkpoint) -> bool:
        """Return whether the entries that were verified before extend a checkpoint."""
        return frontier(kept.size, StoredTree(self._connection)).root() == kept.root

    def _check_identity(self) -> None:
        stored = dict(self._connection.execute("SELECT name, value FROM meta").fetchall())
        keys = {value for name, value in stored.items() if _schema.is_key_name(name)}
        names = {name for name in stored if not _schema.is_key_name(name)}
        given = [str(key) for key in self._keys.all]
        if names != {"origin"} or stored["origin"] != self._keys.name or keys.isdisjoint(given):
            raise SchemaMismatchError(
                f"meta: the log has the origin {shortened(stored.get('origin'))} and the key "
                f"{stored.get('verifier_key')!r}, the given key is {' or '.join(map(repr, given))}: "
                f"either is wrong, or the log's key was replaced"
            )

    def _stored_checkpoints(self) -> Iterator[Checkpoint]:
        """Yield the log's checkpoints by size, each with a verified signature."""
        newest = self._connection.execute(_NEWEST).fetchone()[0]
        for number, text in self._connection.stream(_CHECKPOINTS):
            try:
                checkpoint, keys = self._keys.open_earlier(text)
                if number == newest:
                    self._keys.open(text)
            except SignatureError as error:
                raise SignatureError(f"checkpoint {number}: {error}") from error
            if checkpoint.size != number:
                raise SignatureError(f"checkpoint {number}: its signed size is {checkpoint.size}")
            self._cosignatures.check(number, text)
            for key in keys:
                first = self._signers[key].first if key in self._signers else number
                self._signers[key] = Signed(key, first, number)
            yield checkpoint

    def _first_due(self, checkpoints: Iterator[Checkpoint]) -> Checkpoint | None:
        """Return the first checkpoint that is not smaller than the tree.

        The sink signs a checkpoint of size 0 when it creates the log.
        """
        due = next(checkpoints, None)
        if due is None:
            raise SignatureError(
                "the log has no checkpoint: they were removed, so nothing proves its entries"
            )
        if due.size:
            raise SignatureError("the log's first checkpoint, which has size 0, was removed")
        while due is not None and due.size < self._first:
            due = next(checkpoints, None)
        return due

    def _entries(self) -> Generator[Row]:
        """Return the rows of all entries to read, in the order of their leaves."""
        archived = self._connection.stream(ARCHIVED, (self._first,))
        yield from heapq.merge(archived, live_entries(self._connection, self._first), key=itemgetter(0))

    def _first_read(self) -> int:
        """Return the first leaf whose content is verified, and not its hash alone."""
        return self._first if self._archives.are_verified else max(self._first, self._archives.end)

    def _next_stop(self, due: Checkpoint | None) -> int:
        """Return the next tree size that a stored node or a checkpoint can be compared with."""
        subtree = 1 << STORED_LEVELS
        sizes = [(self._tree.size // subtree + 1) * subtree]
        sizes += [checkpoint.size for checkpoint in (due, self._kept) if checkpoint is not None]
        return min(each for each in sizes if each > self._tree.size)

    def _extend(self, leaves: list[bytes], row: Row) -> None:
        """Extend the tree and compare the nodes that become complete with the stored ones."""
        for level, index, node in self._tree.extend(leaves):
            stored = self._connection.execute(_NODE, (level, index)).fetchone()
            if stored is None or stored[0] != node:
                first = index << level
                raise TreeMismatchError(
                    f"{title(row)}: leaves {first} to {self._tree.size - 1} do not hash to the stored node "
                    f"(level {level}, index {index}): one was changed, swapped, inserted or removed"
                )

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

    def _gap(self, row: Row, expected: int) -> TreeMismatchError:
        """Return the error for an entry that does not have the expected leaf index."""
        if row[0] < expected:
            return TreeMismatchError(f"{title(row)}: another entry has the same leaf index {row[0]}")
        message = f"leaf {expected} is missing before {title(row)}: it was removed or moved"
        count = self._connection.execute(LEAF_COUNT).fetchone()[0]
        moved = self._connection.execute(_BEYOND_END, (count,)).fetchone()
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
        expected = _complete_nodes(self._tree.size)
        if nodes != expected:
            raise TreeMismatchError(f"the log stores {nodes} tree nodes, its entries make {expected}")
        self._check_ids()
        self._connection.check_indexes()
        # Last: a changed record implies a dropped trigger, and the message must name the record.
        self._connection.check_definitions()

    def _quarantined(self) -> int:
        """Return the number of quarantine entries, archived and verified before included."""
        found: int = self._connection.execute(_QUARANTINED).fetchone()[0]
        return found

    def _check_ids(self) -> None:
        """Check that the index of ids leads to each record, and to nothing else."""
        ids, records = self._connection.id_count(), self._tree.size - self._quarantined()
        if ids != records:
            raise SchemaMismatchError(f"the index of ids has {ids} ids, the log has {records} records")
        if IdSum.of(self._connection.ids(self._first_read())).value != self._rows.ids.value:
            raise SchemaMismatchError(
                "the index of ids differs from the records: a record would not be found, or another one"
            )


def _complete_nodes(size: int) -> int:
    """Return the number of stored nodes of a tree: its complete subtrees at every stored level."""
    return sum(size >> level for level in range(STORED_LEVELS, size.bit_length(), STORED_LEVELS))
