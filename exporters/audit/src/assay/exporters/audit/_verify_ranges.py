"""Check parts of a log as a whole: ranges of leaves, and ranges of the index of ids.

A part that is unsound is not described: the verification reads its entries one by one then, and finds the
first fault. So the checks here may have any order, and several processes may share them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import AuditLogError, OpenError
from assay.exporters.audit._id_product import IdProduct
from assay.exporters.audit._ids import KeyRange, parts
from assay.exporters.audit._rows import MALFORMED, RECORDS, RowChecker, entries
from assay.exporters.audit._sequence import Links, Run, Sequenced
from assay.exporters.audit._storage import Reader, StoredTree
from assay.proof.tree import Frontier, Node

RANGE = 1 << 12  # leaves: a subtree of a stored level, which is checked in some 40 ms
_KEY_RANGES = 32
_AT_ONCE = 1000  # rows that PostgreSQL sends
_OTHERS = """SELECT (SELECT count(*) FROM quarantine WHERE leaf_index BETWEEN ?1 AND ?2)
                  + (SELECT count(*) FROM archived WHERE leaf_index BETWEEN ?1 AND ?2)"""
_SIZES = "SELECT size FROM checkpoints WHERE size > ? AND size < ?"
# Errors that an unsound part may cause. That the log cannot be read is another error.
_UNSOUND = (*MALFORMED, sqlite3.Error, AuditLogError)


Subtrees = list[tuple[int, bytes]]
"""Level and root of complete subtrees, from the left to the right."""


class Part(NamedTuple):
    """The leaves `first` to `end - 1`; `first` is a multiple of `RANGE`, and they are at most as many."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A sound part of a log.

    Args:
        trees: The complete subtrees of its leaves up to each size of the log that a checkpoint has, and up to
            its end.
        ids: Product of its ids.
        streams: The links in it.
    """

    trees: list[Subtrees]
    ids: int
    streams: list[Run | list[Sequenced]]


Task = Part | KeyRange
Result = Checked | int | None


def leaf_ranges(first: int, end: int) -> Iterator[Part]:
    """Return the parts from a multiple of `RANGE` to the end of a log."""
    return (Part(start, min(start + RANGE, end)) for start in range(first, end, RANGE))


def next_range(size: int) -> int:
    """Return the start of the first range that begins at or after a leaf."""
    return -(-size // RANGE) * RANGE


def key_ranges() -> Iterator[KeyRange]:
    """Return the parts of the index of ids."""
    return parts(_KEY_RANGES)


@dataclass(frozen=True, slots=True)
class RangeChecker:
    """Checks parts of a log.

    Args:
        log: The log, within a transaction.
        point: Secret point of the products of ids.
        kept: Size of the checkpoint that was kept elsewhere; 0 without one.
        first_read: The first leaf whose id is compared.
    """

    log: Reader
    point: int
    kept: int
    first_read: int

    def check(self, task: Task) -> Result:
        """Check leaves, or return the product of the ids in a key range; None if that is unsound.

        Raises:
            OpenError: The log cannot be read.
        """
        try:
            return self._leaves(task) if isinstance(task, Part) else self._ids(task)
        except OpenError:
            raise
        except _UNSOUND:
            return None

    def _ids(self, keys: KeyRange) -> int:
        product = IdProduct(self.point)
        product.add_all(self.log.ids(self.first_read, keys))
        return product.value

    def _leaves(self, part: Part) -> Checked | None:
        links, hashes = Links(), list[bytes]()
        rows = RowChecker(self.log, IdProduct(self.point), links)
        for row in self._rows(part):
            if row[0] != part.first + len(hashes):
                return None
            rows.check(row)
            hashes.append(row[-1])
        if part.first + len(hashes) != part.end:
            return None
        tree, nodes, trees = Frontier(), list[Node](), list[Subtrees]()
        for size in self._sizes(part):
            nodes += tree.extend(hashes[tree.size : size - part.first])
            trees.append(tree.roots())
        if not self._are_stored(nodes, part.first):
            return None
        return Checked(trees, rows.ids.value, links.streams())

    def _rows(self, part: Part) -> Iterator[Row]:
        """Return the rows of a part in the order of leaves; most parts have records only."""
        span = (part.first, part.end - 1)
        if self.log.execute(_OTHERS, span).fetchone()[0]:
            return entries(self.log, *part)
        return self.log.stream(RECORDS, span, _AT_ONCE)

    def _sizes(self, part: Part) -> list[int]:
        """Return the sizes of the log that a checkpoint has, and the end of the part, in their order."""
        sizes = {size for (size,) in self.log.execute(_SIZES, part)} | {part.end}
        if part.first < self.kept < part.end:
            sizes.add(self.kept)
        return sorted(sizes)

    def _are_stored(self, nodes: list[Node], first: int) -> bool:
        """Return whether the log stores the nodes that the leaves of a part complete."""
        stored = StoredTree(self.log)
        for level in {level for level, _, _ in nodes}:
            hashes = [node for each, _, node in nodes if each == level]
            start = first >> level
            if stored.hashes(level, start, start + len(hashes)) != hashes:
                return False
        return True
