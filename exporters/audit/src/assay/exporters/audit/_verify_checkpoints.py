"""Compare a growing tree with the signed checkpoints of its log, and with one that was kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assay.exporters.audit._cosigned_check import CosignatureChecker
from assay.exporters.audit._errors import OpenError, RollbackError, SignatureError, TreeMismatchError
from assay.exporters.audit._storage import Reader, StoredTree
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.tree import Frontier, frontier
from assay.proof.trusted_keys import TrustedKeys

_CHECKPOINTS = "SELECT size, note FROM checkpoints ORDER BY size"
_NEWEST = "SELECT max(size) FROM checkpoints"


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


class CheckpointChecker:
    """Compares the checkpoints one after the other, in the order of their sizes.

    Args:
        connection: The log, within a transaction.
        keys: The log's verifier keys.
        kept: The checkpoint that was kept elsewhere.
        cosignatures: Checks the cosignatures of witnesses.

    Attributes:
        count: Number of checkpoints that were compared.
        covered: Number of entries that the newest of them covers.
        signers: The keys that signed the log.
    """

    def __init__(
        self,
        connection: Reader,
        keys: TrustedKeys,
        kept: Checkpoint | None,
        cosignatures: CosignatureChecker,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._kept = kept
        self._cosignatures = cosignatures
        self._stored = self._read()
        self._due: Checkpoint | None = None
        self._kept_found = False
        self.count = 0
        self.covered = 0
        self.signers: dict[VerifierKey, Signed] = {}

    def start(self, tree: Frontier) -> None:
        """Continue with the tree of the entries that were verified before; it may be empty.

        The sink signs a checkpoint of size 0 when it creates the log.

        Raises:
            VerificationError: A checkpoint is missing, has a wrong signature, or differs.
        """
        if self._kept is not None and self._kept.size < tree.size:
            before = frontier(self._kept.size, StoredTree(self._connection))
            self._kept_found = before.root() == self._kept.root
        due = next(self._stored, None)
        if due is None:
            raise SignatureError(
                "the log has no checkpoint: they were removed, so nothing proves its entries"
            )
        if due.size:
            raise SignatureError("the log's first checkpoint, which has size 0, was removed")
        while due is not None and due.size < tree.size:
            due = next(self._stored, None)
        self._due = due
        self.check(tree)

    def next_size(self, size: int) -> int | None:
        """Return the next size above `size` that the tree is compared at."""
        sizes = [each.size for each in (self._due, self._kept) if each is not None and each.size > size]
        return min(sizes, default=None)

    def check(self, tree: Frontier) -> None:
        """Compare the tree with the checkpoints of its present size.

        Raises:
            VerificationError: They differ, or the next checkpoint has a wrong signature.
            OpenError: The tree was not compared with a checkpoint of a smaller size.
        """
        kept, due = self._kept, self._due
        if kept is not None and kept.size == tree.size and kept.root != tree.root():
            raise RollbackError(
                f"the log contradicts the checkpoint kept elsewhere (size {kept.size}): it was rewritten"
            )
        if due is None or due.size > tree.size:
            return
        if due.size < tree.size:  # another process did not see it
            raise OpenError(f"checkpoint {due.size} appeared while the log was verified: verify again")
        if due.root != tree.root():
            raise TreeMismatchError(
                f"checkpoint {due.size}: entries {self.covered} to {due.size - 1} do not hash to its "
                f"signed root: one was changed, swapped, inserted or removed, together with its hashes"
            )
        self.count += 1
        self.covered = due.size
        self._kept_found |= kept is not None and kept.size == due.size
        self._due = next(self._stored, None)

    def require_whole(self, size: int) -> None:
        """Check that no checkpoint covers more entries than the log has.

        Raises:
            TreeMismatchError: One does.
        """
        if self._due is not None:
            raise TreeMismatchError(
                f"checkpoint {self._due.size}: the log has only {size} entries: its tail was removed"
            )

    def require_kept(self, size: int) -> None:
        """Check that the log has the checkpoint that was kept elsewhere.

        Raises:
            RollbackError: The log lacks it, or has fewer entries.
        """
        if self._kept is not None and self._kept.size > size:
            raise RollbackError(
                f"the checkpoint kept elsewhere covers {self._kept.size} entries, the log has "
                f"{size}: it was rolled back or truncated"
            )
        if self._kept is not None and not self._kept_found:
            raise RollbackError(
                f"the log lacks the checkpoint kept elsewhere (size {self._kept.size}): it was removed"
            )

    def _read(self) -> Iterator[Checkpoint]:
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
                first = self.signers[key].first if key in self.signers else number
                self.signers[key] = Signed(key, first, number)
            yield checkpoint
