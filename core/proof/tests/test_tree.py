"""Compared with pymerkle, an independent implementation, and with the Certificate Transparency vectors."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from assay.proof.errors import TreeMismatchError
from assay.proof.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    frontier,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

# Leaves of the Certificate Transparency project's test vectors, and the roots of the first n of them.
LEAVES = [bytes.fromhex(leaf) for leaf in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


class Tree:
    """Compute subtree roots from all leaves in memory."""

    def __init__(self, entries: list[bytes]) -> None:
        self.leaves = [leaf_hash(entry) for entry in entries]

    def __call__(self, level: int, index: int) -> bytes:
        return self.root(index << level, (index + 1) << level)

    def root(self, start: int, end: int) -> bytes:
        tree = Frontier()
        tree.extend(self.leaves[start:end])
        return tree.root()


entries = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def test_the_roots_of_the_ct_vectors():
    assert EMPTY_ROOT == hashlib.sha256(b"").digest() == Frontier().root()
    for size, root in ROOTS.items():
        assert Tree(LEAVES).root(0, size).hex() == root


def root_of(oracle):
    """Return pymerkle's root; pymerkle 6, the newest for Python 3.10, has another method for it."""
    return oracle.get_root() if hasattr(oracle, "get_root") else oracle.get_state()


@given(entries)
def test_every_root_equals_pymerkles(entries):
    oracle, tree, ours = InmemoryTree(algorithm="sha256"), Frontier(), Tree(entries)
    for size, entry in enumerate(entries, 1):
        oracle.append_entry(entry)
        tree.extend([leaf_hash(entry)])
        assert tree.root() == root_of(oracle) == frontier(size, ours).root()


@given(entries, st.data())
def test_inclusion_proofs_equal_pymerkles_and_verify(entries, data):
    index = data.draw(st.integers(0, len(entries) - 1))
    tree, size = Tree(entries), len(entries)
    oracle = InmemoryTree(algorithm="sha256")
    for entry in entries:
        oracle.append_entry(entry)
    proof = inclusion_proof(index, size, tree)
    theirs = oracle.prove_inclusion(index + 1)
    assert [leaf_hash(entries[index]), *proof] == list(theirs.path) or sorted(proof) == sorted(
        theirs.path[: index_of(theirs, tree.leaves[index])]
        + theirs.path[index_of(theirs, tree.leaves[index]) + 1 :]
    )
    verify_inclusion(tree.leaves[index], index, size, proof, tree.root(0, size))


def index_of(proof, leaf):
    return list(proof.path).index(leaf)


@given(entries, st.data())
def test_a_wrong_inclusion_proof_does_not_verify(entries, data):
    size = len(entries)
    index = data.draw(st.integers(0, size - 1))
    tree = Tree(entries)
    leaf, proof, root = tree.leaves[index], inclusion_proof(index, size, tree), tree.root(0, size)
    wrong = [
        (leaf_hash(b"another"), index, size, proof, root),
        (leaf, index, size, [*proof, root], root),
        (leaf, index, size, proof, leaf_hash(b"another")),
        (leaf, size, size, proof, root),
        (leaf, -1, size, proof, root),
    ]
    if proof:
        wrong += [
            (leaf, index, size, proof[:-1], root),
            (leaf, index, size, [leaf_hash(b"x"), *proof[1:]], root),
        ]
    for claim in wrong:
        with pytest.raises(TreeMismatchError):
            verify_inclusion(*claim)


@given(entries, st.data())
def test_consistency_proofs_verify_and_wrong_ones_do_not(entries, data):
    new = len(entries)
    old = data.draw(st.integers(1, new))
    tree = Tree(entries)
    proof = consistency_proof(old, new, tree)
    old_root, new_root = tree.root(0, old), tree.root(0, new)
    verify_consistency(old, new, old_root, new_root, proof)
    elsewhere = hashlib.sha256(b"of another tree").digest()
    for claim in [
        (old, new, elsewhere, new_root, proof),
        (old, new, old_root, elsewhere, proof),
        (old, new, old_root, new_root, [*proof, new_root]),
    ]:
        with pytest.raises(TreeMismatchError):
            verify_consistency(*claim)


def test_proofs_of_missing_leaves_are_rejected():
    tree = Tree(LEAVES)
    for index in (-1, 8):
        with pytest.raises(IndexError):
            inclusion_proof(index, 8, tree)
    for old in (0, 9):
        with pytest.raises(IndexError):
            consistency_proof(old, 8, tree)


@given(st.integers(0, 20), st.integers(0, 31))
def test_a_tree_of_appended_subtrees_is_that_of_their_leaves(parts, rest):
    """Subtrees of 32 leaves, and those of the last leaves."""
    leaves = [hashlib.sha256(bytes([n >> 8, n & 255])).digest() for n in range(32 * parts + rest)]
    whole, joined = Frontier(), Frontier()
    nodes, found = whole.extend(leaves), []
    for first in range(0, len(leaves), 32):
        part = Frontier()
        inner = part.extend(leaves[first : first + 32])
        found += [(level, index + (first >> level), node) for level, index, node in inner]
        for level, root in part.roots():
            found += joined.append(level, root)
    assert (joined.size, joined.root(), joined.roots()) == (whole.size, whole.root(), whole.roots())
    assert sorted(found) == sorted(nodes)
