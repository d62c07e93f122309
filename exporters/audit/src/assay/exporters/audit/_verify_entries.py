"""Verify the entries of a log: each row against its leaf, and the leaves against nodes and checkpoints.

The parts of the log are checked as a whole, by several processes if the log is long. A part that is unsound,
or differs from the log around it, is read again entry by entry, which finds the first fault. So the number of
processes has no influence on the findings.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing

from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import TreeMismatchError, named
from assay.exporters.audit._id_product import IdProduct
from assay.exporters.audit._rows import RowChecker, entries, title
from assay.exporters.audit._sequence import ChainFault, Chains
from assay.exporters.audit._storage import LEAF_COUNT, Reader
from assay.exporters.audit._verify_checkpoints import CheckpointChecker
from assay.exporters.audit._verify_processes import Source, checked
from assay.exporters.audit._verify_ranges import (
    Checked,
    Part,
    RangeChecker,
    Result,
    Subtrees,
    key_ranges,
    leaf_ranges,
    next_range,
)
from assay.proof.tree import STORED_LEVELS, Frontier, Node

ENTRIES_PER_PROCESS = 1 << 17  # they take a second, as the start of a process does
_NODE = "SELECT hash FROM nodes WHERE level = ? AND node_index = ?"
_BEYOND_END = "SELECT id FROM audit_log WHERE leaf_index >= ? ORDER BY leaf_index LIMIT 1"
_PROGRESS_EVERY = 10_000  # entries that are read one by one

Progress = Callable[[int, int], object]


class EntryVerifier:
    """Verifies the entries of a log.

    Args:
        connection: The log, within a transaction.
        checkpoints: Compares the checkpoints.
        checker: Checks parts of the log.
        tree: The tree of the entries that were verified before.

    Attributes:
        tree: The tree of the verified entries.
        rows: What concerns several entries: the ids and the chains of producers.
    """

    def __init__(
        self, connection: Reader, checkpoints: CheckpointChecker, checker: RangeChecker, tree: Frontier
    ) -> None:
        self._connection = connection
        self._checkpoints = checkpoints
        self._checker = checker
        self._chains = Chains()
        self.tree = tree
        self.rows = RowChecker(connection, IdProduct(checker.point), self._chains)
        self._index: IdProduct | None = IdProduct(checker.point)  # None: unsound

    def verify(self, total: int, source: Source, jobs: int, progress: Progress) -> None:
        """Verify all entries, and read the index of ids.

        Args:
            total: Number of entries of the log.
            source: Where further processes read the log.
            jobs: The largest number of processes.
            progress: Called with the number of verified entries and the number of all entries.

        Raises:
            VerificationError: Verification failed; the message names the first fault.
            OpenError: The database cannot be read, or a process ended.
        """
        self._checkpoints.start(self.tree)
        start = min(next_range(self.tree.size), total)
        self._one_by_one(start, total, progress)
        tasks = itertools.chain(leaf_ranges(start, total), key_ranges())
        processes = max(1, min(jobs, (total - start) // ENTRIES_PER_PROCESS))
        with closing(checked(tasks, self._checker, source, processes)) as results:
            for part in leaf_ranges(start, total):
                if not self._extend(part, next(results)):
                    self._one_by_one(part.end, total, progress)
                progress(self.tree.size, total)
            self._read_index(results)
        self._checkpoints.require_whole(self.tree.size)

    def faults(self) -> tuple[ChainFault, ...]:
        """Return the broken chains of producers."""
        return self._chains.faults()

    def indexed(self) -> int:
        """Return the product of the ids in their index.

        Raises:
            sqlite3.Error: The index cannot be read.
        """
        if self._index is None:
            self._index = IdProduct(self._checker.point)
            self._index.add_all(self._connection.ids(self._checker.first_read))
        return self._index.value

    def _extend(self, part: Part, found: Result) -> bool:
        """Add a sound part; return False, and change nothing, if its entries must be read one by one."""
        if not isinstance(found, Checked) or self.tree.size != part.first:
            return False
        trees = [self._joined(subtrees) for subtrees in found.trees]
        whole, above = trees[-1]
        if not (all(self._is_stored(node) for node in above) and self._chains.extend(found.streams)):
            return False
        self.rows.ids.merge(found.ids)
        for tree, _ in trees:
            self._checkpoints.check(tree)
        self.tree = whole
        return True

    def _joined(self, subtrees: Subtrees) -> tuple[Frontier, list[Node]]:
        """Return the tree with further complete subtrees, and the stored nodes above them."""
        tree = self.tree.copy()
        return tree, [node for level, root in subtrees for node in tree.append(level, root)]

    def _is_stored(self, node: Node) -> bool:
        level, index, value = node
        stored = self._connection.execute(_NODE, (level, index)).fetchone()
        return stored is not None and stored[0] == value

    def _one_by_one(self, end: int, total: int, progress: Progress) -> None:
        """Verify the entries up to `end - 1`, and find the first fault."""
        if self.tree.size >= end:
            return
        leaves: list[bytes] = []  # not yet in the tree: extending it in batches is twice as fast
        stop = self._next_stop()
        with closing(entries(self._connection, self.tree.size)) as rows:
            for row in rows:
                expected = self.tree.size + len(leaves)
                if row[0] >= end == expected:  # the row before `end` has no double
                    break
                if row[0] != expected:
                    raise self._gap(row, expected)
                self.rows.check(row)
                leaves.append(row[-1])
                if row[0] + 1 == stop:
                    self._append(leaves, row)
                    leaves.clear()
                    self._checkpoints.check(self.tree)
                    stop = self._next_stop()
                    if not self.tree.size % _PROGRESS_EVERY:
                        progress(self.tree.size, total)
        self.tree.extend(leaves)

    def _next_stop(self) -> int:
        """Return the next tree size that a stored node or a checkpoint can be compared with."""
        subtree = 1 << STORED_LEVELS
        node = (self.tree.size // subtree + 1) * subtree
        checkpoint = self._checkpoints.next_size(self.tree.size)
        return node if checkpoint is None else min(node, checkpoint)

    def _append(self, leaves: list[bytes], row: Row) -> None:
        """Extend the tree and compare the nodes that become complete with the stored ones."""
        for node in self.tree.extend(leaves):
            if not self._is_stored(node):
                level, index, _ = node
                raise TreeMismatchError(
                    f"{title(row)}: leaves {index << level} to {self.tree.size - 1} do not hash to the stored"
                    f" node (level {level}, index {index}): one was changed, swapped, inserted or removed"
                )

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

    def _read_index(self, products: Iterator[Result]) -> None:
        for product in products:
            if not isinstance(product, int):
                self._index = None
            elif self._index is not None:
                self._index.merge(product)
