"""Verify a log from its tiles alone: https://c2sp.org/tlog-tiles, such as `export_tiles` writes.

Everything is recomputed from the entries: the leaf hashes, the tiles of every level, the root, and producers'
chains. A verification that continues from a checkpoint reads only the hashes of the entries before it. A tile
at a time is in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.exporters.audit._errors import (
    OpenError,
    RecordMismatchError,
    RollbackError,
    TreeMismatchError,
)
from assay.exporters.audit._rows import MALFORMED, canonical_record
from assay.exporters.audit._sequence import ChainFault, Chains
from assay.exporters.audit._tiles import ENTRIES, WIDTH, Tile
from assay.proof.cosignature import Cosignature
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.policy import Policy
from assay.proof.tree import Frontier, leaf_hash
from assay.proof.trusted_keys import TrustedKeys

_LENGTH = 2  # bytes of the length before an entry
_HASH = 32


@dataclass(frozen=True, slots=True)
class VerifiedTiles:
    """The result of a verification of tiles that found no fault.

    Args:
        checkpoint: The checkpoint of the tiles, which commits to all their entries.
        records: Number of records that were read.
        quarantined: Number of quarantine entries that were read.
        kept: Size of the checkpoint kept elsewhere that the tiles were compared with; None without one.
        first: First entry that was read; of the entries before it, their hashes were.
        cosignatures: Those of the policy's witnesses on the checkpoint.
        chains: The broken chains of producers. They do not concern the integrity of the log. Empty in a
            verification that did not start with the first entry.
    """

    checkpoint: Checkpoint
    records: int
    quarantined: int
    kept: int | None
    first: int
    cosignatures: tuple[Cosignature, ...]
    chains: tuple[ChainFault, ...]


def verify_tiles(  # noqa: PLR0913  one for each thing that an auditor has
    folder: Path,
    key: VerifierKey | TrustedKeys,
    *,
    checkpoint: str | None = None,
    since: str | None = None,
    policy: Policy | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> VerifiedTiles:
    """Verify the files of a log; neither its database nor a server is needed.

    Args:
        folder: Folder with `checkpoint` and `tile/`.
        key: The log's verifier key, or several.
        checkpoint: A signed checkpoint that was kept elsewhere; the tiles must extend it.
        since: A signed checkpoint up to which the entries were verified before. The entries that it covers
            are not read again, and need not be there; their hashes must lead to its root.
        policy: The witnesses that must have cosigned the checkpoint of the tiles.
        progress: Called from time to time with the number of verified entries and the number of all entries.

    Raises:
        VerificationError: Verification failed; the message names the first fault.
        OpenError: A file cannot be read, or the checkpoint is missing.
    """
    keys = TrustedKeys.of(key)
    note = _read(folder / "checkpoint").decode("utf-8", "replace")
    present = keys.open(note)
    cosignatures = () if policy is None else tuple(policy.verify(note))
    kept = None if checkpoint is None else keys.open_earlier(checkpoint)[0]
    start = None if since is None else keys.open_earlier(since)[0]
    first = 0 if start is None else start.size
    tree, entries = _Tree(folder, present.size), _Entries()
    earlier = [
        _Earlier(name, each)
        for name, each in (("checkpoint kept elsewhere", kept), ("checkpoint verified before", start))
        if each is not None
    ]
    earlier.sort(key=lambda each: each.size)
    for each in earlier:
        each.compare_size(present.size)
        if each.size == 0:
            each.compare(tree.root())
    for index in range(0, present.size, WIDTH):
        width = min(WIDTH, present.size - index)
        covered = min(width, max(0, first - index))
        hashes = tree.stored(index // WIDTH, covered)
        if covered < width:
            leaves = tree.entries(index // WIDTH)[covered:]
            entries.add(leaves, index + covered)
            hashes.extend(leaf_hash(leaf) for leaf in leaves)
        _extend(tree, hashes, earlier)
        if progress is not None:
            progress(tree.size, present.size)
    tree.check_partial_tiles()
    if tree.root() != present.root:
        raise TreeMismatchError(
            f"the entries do not hash to the root of the checkpoint (size {present.size}): one was changed,"
            " swapped, inserted or removed, together with the tiles"
        )
    return VerifiedTiles(
        present,
        entries.records,
        entries.quarantined,
        None if kept is None else kept.size,
        first,
        cosignatures,
        () if first else entries.chains.faults(),
    )


class _Tree:
    """The tree of the entries, whose tiles are compared with the files."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._frontier = Frontier()
        self._open: list[list[bytes]] = [[]]  # the hashes of the last tile of each level
        self._closed = [0]  # number of full tiles of each level

    @property
    def size(self) -> int:
        return self._frontier.size

    def root(self) -> bytes:
        return self._frontier.root()

    def stored(self, index: int, count: int) -> list[bytes]:
        """Return the first leaf hashes of a tile as its file has them; no file is read for none of them."""
        if not count:
            return []
        tile = self._tile(0, index)
        content = self._read(tile)[: count * _HASH]
        if len(content) != count * _HASH:
            raise TreeMismatchError(f"{tile.path}: it ends within its hashes")
        return [content[at : at + _HASH] for at in range(0, len(content), _HASH)]

    def entries(self, index: int) -> list[bytes]:
        """Return the entries of a bundle."""
        tile = self._tile(ENTRIES, index)
        leaves = list(_split(tile, self._read(tile)))
        if len(leaves) != tile.width:
            raise TreeMismatchError(f"{tile.path}: it has {len(leaves)} entries, expected {tile.width}")
        return leaves

    def extend(self, hashes: list[bytes]) -> None:
        """Append leaf hashes."""
        self._frontier.extend(hashes)
        for each in hashes:
            self._push(0, each)

    def check_partial_tiles(self) -> None:
        """Compare the last tile of each level with its file."""
        for level, hashes in enumerate(self._open):
            if hashes:
                self._compare(Tile(level, self._closed[level], len(hashes)), hashes)

    def _tile(self, level: int, index: int) -> Tile:
        """Return a tile of level 0, or an entry bundle."""
        return Tile(level, index, min(WIDTH, self._size - index * WIDTH))

    def _push(self, level: int, node: bytes) -> None:
        self._open[level].append(node)
        if len(self._open[level]) < WIDTH:
            return
        hashes, self._open[level] = self._open[level], []
        self._compare(Tile(level, self._closed[level], WIDTH), hashes)
        self._closed[level] += 1
        if level + 1 == len(self._open):
            self._open.append([])
            self._closed.append(0)
        above = Frontier()
        above.extend(hashes)
        self._push(level + 1, above.root())

    def _compare(self, tile: Tile, hashes: list[bytes]) -> None:
        found = self._read(tile)
        for index, node in enumerate(hashes):
            if found[index * _HASH : (index + 1) * _HASH] != node:
                what = "entry" if tile.level == 0 else "tile below"
                raise TreeMismatchError(
                    f"{tile.path}: hash {index} is not that of the {what} {tile.index * WIDTH + index}: one"
                    " of them was changed, swapped, inserted or removed"
                )
        if len(found) != len(hashes) * _HASH:
            expected = len(hashes) * _HASH
            raise TreeMismatchError(f"{tile.path}: it has {len(found)} bytes, not {expected}")

    def _read(self, tile: Tile) -> bytes:
        """Read a tile. A full tile may be there instead of a partial one of an older size."""
        path = self._folder / tile.path
        full = self._folder / Tile(tile.level, tile.index, WIDTH).path
        if path.exists() or not full.exists():
            return _read_tile(path, tile)
        content = _read_tile(full, tile)
        if tile.level == ENTRIES:
            return b"".join(_prefix(leaf) for leaf in list(_split(tile, content))[: tile.width])
        return content[: tile.width * _HASH]


class _Entries:
    """The entries seen so far: their kinds, and the chains of their producers."""

    def __init__(self) -> None:
        self.records = self.quarantined = 0
        self.chains = Chains()

    def add(self, leaves: list[bytes], first: int) -> None:
        for index, leaf in enumerate(leaves, first):
            try:
                self._add(leaf)
            except MALFORMED as error:  # noqa: PERF203  the message names the leaf
                raise RecordMismatchError(f"leaf {index}: its content is not a log entry") from error

    def _add(self, leaf: bytes) -> None:
        content: dict[str, Any] = orjson.loads(leaf)
        if "quarantine" in content:
            self.quarantined += 1
            return
        self.records += 1
        digest = hashlib.sha256(canonical_record(leaf)).digest()
        self.chains.add(content["record"], content["resource"], digest)


class _Earlier:
    """An earlier checkpoint, which the tiles must extend.

    Args:
        name: What it is, for messages.
        checkpoint: The checkpoint.
    """

    def __init__(self, name: str, checkpoint: Checkpoint) -> None:
        self._name, self._root = name, checkpoint.root
        self.size = checkpoint.size

    def compare_size(self, size: int) -> None:
        if self.size > size:
            raise RollbackError(
                f"the {self._name} covers {self.size} entries, the tiles {size}: the log was rolled back or"
                " truncated, or the tiles are older"
            )

    def compare(self, root: bytes) -> None:
        if root != self._root:
            raise RollbackError(
                f"the tiles contradict the {self._name} (size {self.size}): the log was rewritten, or a tile"
                " was changed"
            )


def _extend(tree: _Tree, hashes: list[bytes], earlier: list[_Earlier]) -> None:
    """Append leaf hashes; compare the tree with each earlier checkpoint when it has its size.

    Args:
        tree: The tree.
        hashes: The leaf hashes.
        earlier: The earlier checkpoints, the smallest first.
    """
    first, done = tree.size, 0
    for each in earlier:
        at = each.size - first
        if 0 < at <= len(hashes):
            tree.extend(hashes[done:at])
            done = at
            each.compare(tree.root())
    tree.extend(hashes[done:])


def _split(tile: Tile, bundle: bytes) -> Iterator[bytes]:
    """Yield the entries of a bundle."""
    at = count = 0
    while at < len(bundle):
        end = at + _LENGTH + int.from_bytes(bundle[at : at + _LENGTH], "big")
        if end > len(bundle) or at + _LENGTH > len(bundle):
            raise TreeMismatchError(f"{tile.path}: it ends within entry {count}")
        yield bundle[at + _LENGTH : end]
        at, count = end, count + 1


def _prefix(leaf: bytes) -> bytes:
    return len(leaf).to_bytes(_LENGTH, "big") + leaf


def _read_tile(path: Path, tile: Tile) -> bytes:
    if not path.exists():
        raise TreeMismatchError(f"{tile.path} is missing: it was removed, or was not exported")
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OpenError(f"{path}: cannot be read: {error.strerror}") from error
