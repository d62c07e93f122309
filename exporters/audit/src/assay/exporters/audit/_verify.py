"""Recompute a log from its rows and compare it with every signed checkpoint.

Rows are streamed, so memory does not grow with the log. Each function checks one property and raises an error
if it does not hold.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from assay.exporters.audit import _schema
from assay.exporters.audit._archives import Archive
from assay.exporters.audit._cosigned import Refusal, read_refusals
from assay.exporters.audit._cosigned_check import CosignatureChecker, Cosigned
from assay.exporters.audit._errors import (
    RollbackError,
    SchemaMismatchError,
    TreeMismatchError,
    VerificationError,
    shortened,
)
from assay.exporters.audit._id_product import random_point
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._sequence import ChainFault
from assay.exporters.audit._storage import Reader, StoredTree, open_read_only, size
from assay.exporters.audit._verify_archives import ArchiveChecker
from assay.exporters.audit._verify_checkpoints import CheckpointChecker, Signed
from assay.exporters.audit._verify_entries import EntryVerifier, Progress
from assay.exporters.audit._verify_processes import Source
from assay.exporters.audit._verify_ranges import RangeChecker
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.policy import Policy
from assay.proof.tree import STORED_LEVELS, Frontier, frontier
from assay.proof.trusted_keys import TrustedKeys

_NEWEST = "SELECT max(size) FROM checkpoints"
_QUARANTINED = """SELECT (SELECT count(*) FROM quarantine)
                       + (SELECT count(*) FROM archived WHERE kind = 'quarantine')"""
_STORED_WITHIN = 2.0  # seconds in which a sink stores the checkpoint that its signer has kept


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
    jobs: int = 1,
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
        jobs: The largest number of processes that verify, this one included; a short log takes one. The
            result does not depend on it. With more than one, the program's main module must be importable,
            as `multiprocessing` requires: keep the call under `if __name__ == "__main__":`.
        progress: Called from time to time with the number of verified entries and the number of all entries.

    Raises:
        VerificationError: Verification failed; the message names the first fault.
        OpenError: The database or an archive cannot be read, or one of the processes ended.
    """
    keys = TrustedKeys.of(key)
    kept = None if checkpoint is None else keys.open_earlier(checkpoint)[0]
    start = None if since is None else keys.open_earlier(since)[0]
    connection = open_read_only(database)
    try:
        _await_stored(connection, kept)
        connection.begin()  # read one state of the log while a sink may write
        checker = ArchiveChecker(connection, keys, archives)
        verification = _Verification(connection, keys, kept, start, policy, checker)
        return verification.run(database, jobs, progress or (lambda _done, _total: None))
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
        policy: The witnesses.
        archives: Checks the archives.
    """

    def __init__(  # noqa: PLR0913, PLR0917  what is compared with each other
        self,
        connection: Reader,
        keys: TrustedKeys,
        kept: Checkpoint | None,
        start: Checkpoint | None,
        policy: Policy | None,
        archives: ArchiveChecker,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._kept = kept
        self._archives = archives
        self._cosignatures = CosignatureChecker(connection, policy)
        self._checkpoints = CheckpointChecker(connection, keys, kept, self._cosignatures)
        self._first = 0 if start is None else start.size
        tree = Frontier() if start is None else self._verified_before(start)
        kept_size = 0 if kept is None else kept.size
        self._checker = RangeChecker(connection, random_point(), kept_size, self._first_read())
        self._entries = EntryVerifier(connection, self._checkpoints, self._checker, tree)

    def run(self, database: Location, jobs: int, progress: Progress) -> Verified:
        self._check_identity()
        self._archives.check(self._entries.rows, self._first)
        state = self._connection.state() if jobs > 1 else ""
        source = Source(database, state, self._archives.end)
        self._entries.verify(size(self._connection), source, jobs, progress)
        self._check_end()
        quarantined = self._quarantined()
        return Verified(
            origin=self._keys.name,
            records=self._size - quarantined,
            quarantined=quarantined,
            checkpoints=self._checkpoints.count,
            covered=self._checkpoints.covered,
            root=self._entries.tree.root().hex(),
            kept=None if self._kept is None else self._kept.size,
            first=self._first,
            signers=tuple(self._checkpoints.signers.values()),
            chains=() if self._first_read() else self._entries.faults(),
            cosigners=self._cosignatures.cosigners(),
            witnessed=self._cosignatures.witnessed(),
            refusals=tuple(read_refusals(self._connection)),
            archives=self._archives.archives,
            archives_verified=self._archives.are_verified,
        )

    @property
    def _size(self) -> int:
        return self._entries.tree.size

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

    def _first_read(self) -> int:
        """Return the first leaf whose content is verified, and not its hash alone."""
        return self._first if self._archives.are_verified else max(self._first, self._archives.end)

    def _check_end(self) -> None:
        self._checkpoints.require_kept(self._size)
        nodes: int = self._connection.execute("SELECT count(*) FROM nodes").fetchone()[0]
        expected = _complete_nodes(self._size)
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
        ids, records = self._connection.id_count(), self._size - self._quarantined()
        if ids != records:
            raise SchemaMismatchError(f"the index of ids has {ids} ids, the log has {records} records")
        if self._entries.indexed() != self._entries.rows.ids.value:
            raise SchemaMismatchError(
                "the index of ids differs from the records: a record would not be found, or another one"
            )


def _complete_nodes(size: int) -> int:
    """Return the number of stored nodes of a tree: its complete subtrees at every stored level."""
    return sum(size >> level for level in range(STORED_LEVELS, size.bit_length(), STORED_LEVELS))
