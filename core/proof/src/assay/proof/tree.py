"""The Merkle tree of RFC 6962 section 2.1; the functions follow the RFC step by step and use its names.

A `Frontier` holds the state of a growing tree: the roots of the complete subtrees at its right edge. Proofs
are made from stored nodes. A `Subtrees` callable returns them: `subtrees(level, index)` is the root of the
complete subtree over the leaves `index · 2^level` to `(index + 1) · 2^level - 1`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from assay.proof.errors import TreeMismatchError

Node: TypeAlias = tuple[int, int, bytes]  # level, index in the level, hash
Subtrees: TypeAlias = Callable[[int, int], bytes]

EMPTY_ROOT = hashlib.sha256().digest()
STORED_LEVELS = 4  # every fourth level is stored: 1/15 of the tree; any other node costs at most 15 hashes
_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return `MTH({d(0)}) = SHA-256(0x00 || d(0))`."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return `SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))`."""
    return _sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree. It keeps one root for each bit that is set in its size.

    Args:
        size: Number of leaves.
        roots: Roots of the complete subtrees, from the largest (leftmost) to the smallest.
    """

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)

    def copy(self) -> Frontier:
        """Return an independent tree of the same leaves."""
        return Frontier(self.size, self._roots)

    def extend(self, leaves: Iterable[bytes]) -> list[Node]:
        """Append leaf hashes; return the nodes of stored levels that they complete."""
        roots, size, completed = self._roots, self.size, list[Node]()
        for leaf in leaves:
            node, left, level = leaf, size, 0
            while left & 1:
                node = _sha256(b"\x01" + roots.pop() + node).digest()
                left >>= 1
                level += 1
                if not level % STORED_LEVELS:
                    completed.append((level, left, node))
            roots.append(node)
            size += 1
        self.size = size
        return completed

    def append(self, level: int, root: bytes) -> list[Node]:
        """Append a complete subtree of `2^level` leaves; return the nodes of stored levels above its root.

        Args:
            level: Its level; the size of this tree must be a multiple of `2^level`.
            root: Its root.
        """
        roots, left, size, completed = self._roots, self.size >> level, 1 << level, list[Node]()
        while left & 1:
            root = node_hash(roots.pop(), root)
            left >>= 1
            level += 1
            if not level % STORED_LEVELS:
                completed.append((level, left, root))
        roots.append(root)
        self.size += size
        return completed

    def roots(self) -> list[tuple[int, bytes]]:
        """Return level and root of each complete subtree, from the largest (leftmost) to the smallest."""
        levels = [level for level in reversed(range(self.size.bit_length())) if self.size >> level & 1]
        return list(zip(levels, self._roots, strict=True))

    def root(self) -> bytes:
        """Return `MTH` of all leaves."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = node_hash(left, root)
        return root


def frontier(size: int, subtrees: Subtrees) -> Frontier:
    """Return the tree of the first `size` leaves, from stored nodes."""
    roots: list[bytes] = []
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            roots.append(subtrees(level, start >> level))
            start += 1 << level
    return Frontier(size, roots)


def inclusion_proof(index: int, size: int, subtrees: Subtrees) -> list[bytes]:
    """Return `PATH(m, D[n])`, section 2.1.1: the hashes from the leaf's sibling up to the root's child.

    Raises:
        IndexError: The tree does not have this leaf.
    """
    if not 0 <= index < size:
        raise IndexError(f"a tree of {size} leaves does not have a leaf {index}")
    return _path(index, 0, size, subtrees)


def consistency_proof(old: int, new: int, subtrees: Subtrees) -> list[bytes]:
    """Return `PROOF(m, D[n])`, section 2.1.2: the older tree's leaves are the first `old` of `new`.

    Raises:
        IndexError: Unless 0 < old ≤ new.
    """
    if not 0 < old <= new:
        raise IndexError(f"a consistency proof needs 0 < old ≤ new, got {old} and {new}")
    return _subproof(old, 0, new, subtrees, complete=True)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Verify an inclusion proof (RFC 9162 section 2.1.3.2).

    Raises:
        TreeMismatchError: The proof does not lead from the leaf to the root.
    """
    if not 0 <= index < size:
        raise TreeMismatchError(f"a tree of {size} leaves does not have a leaf {index}")
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise TreeMismatchError(f"the inclusion proof of leaf {index} is too long")
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or node != root:
        raise TreeMismatchError(
            f"the inclusion proof does not lead from leaf {index} to the root of {size} leaves"
        )


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Verify a consistency proof (RFC 9162 section 2.1.4.2).

    Raises:
        TreeMismatchError: The newer tree does not extend the older one.
    """
    wrong = TreeMismatchError(f"the tree of {new} leaves does not extend the tree of {old} leaves")
    if old == new:
        if proof or old_root != new_root:
            raise wrong
        return
    if not 0 < old < new or not proof:
        raise wrong
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for node in path[1:]:
        if sn == 0:
            raise wrong
        if fn & 1 or fn == sn:
            fr, sr = node_hash(node, fr), node_hash(node, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, node)
        fn, sn = fn >> 1, sn >> 1
    if sn or fr != old_root or sr != new_root:
        raise wrong


def _path(index: int, start: int, end: int, subtrees: Subtrees) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, subtrees), _root(middle, end, subtrees)]
    return [*_path(index, middle, end, subtrees), _root(start, middle, subtrees)]


def _subproof(old: int, start: int, end: int, subtrees: Subtrees, *, complete: bool) -> list[bytes]:
    if old == end:
        return [] if complete else [_root(start, end, subtrees)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(old, start, middle, subtrees, complete=complete), _root(middle, end, subtrees)]
    return [*_subproof(old, middle, end, subtrees, complete=False), _root(start, middle, subtrees)]


def _root(start: int, end: int, subtrees: Subtrees) -> bytes:
    """Return `MTH(D[start:end])`; `start` is a multiple of the largest power of two below the length."""
    length = end - start
    if not length & (length - 1):
        level = length.bit_length() - 1
        return subtrees(level, start >> level)
    middle = start + _split(length)
    return node_hash(_root(start, middle, subtrees), _root(middle, end, subtrees))


def _split(length: int) -> int:
    """Return `k`: the largest power of two smaller than `length`."""
    return 1 << (length - 1).bit_length() - 1
