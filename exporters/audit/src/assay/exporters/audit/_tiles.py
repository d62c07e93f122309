"""The log as C2SP tlog-tiles (https://c2sp.org/tlog-tiles): files, from which clients compute any proof.

- `checkpoint`: the newest signed note.
- `tile/<L>/<N>[.p/<W>]`: hashes of level `8 · L` of the tree, 256 in a full tile.
- `tile/entries/<N>[.p/<W>]`: the leaves, each behind its length as a big-endian uint16.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.exporters.audit._archives import require_live
from assay.exporters.audit._errors import AuditLogError, NotFoundError, OpenError
from assay.exporters.audit._keys import write_atomically
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._query import newest_checkpoint
from assay.exporters.audit._storage import Reader, StoredTree, archived_end, leaves, open_read_only
from assay.proof.note import Checkpoint

WIDTH = 256
LONGEST_ENTRY = 0xFFFF
_HEIGHT = 8  # levels of the tree in a tile
ENTRIES = -1  # level of an entry bundle, whose entries are counted as those of level 0
_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
).fullmatch


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of hashes, or an entry bundle.

    Args:
        level: Level of tiles, 0 for leaf hashes; -1 for an entry bundle.
        index: Index within the level.
        width: Number of hashes or entries, 256 in a full tile.
    """

    level: int
    index: int
    width: int

    @classmethod
    def parse(cls, path: str) -> Tile:
        """Parse a path such as `tile/0/x001/234.p/17`.

        Raises:
            NotFoundError: A tile cannot have this path.
        """
        found = _PATH(path)
        width = int(found["width"] or WIDTH) if found else 0
        if found is None or not 0 < width <= WIDTH or (found["width"] and width == WIDTH):
            raise NotFoundError(f"{path[:200]!r} is not the path of a tile")
        level = ENTRIES if found["level"] == "entries" else int(found["level"])
        tile = cls(level, int(found["index"].replace("x", "").replace("/", "")), width)
        if tile.path != path:  # a longer path than the index needs
            raise NotFoundError(f"{path[:200]!r} is not the path of a tile")
        return tile

    @property
    def path(self) -> str:
        """The path below the log's prefix."""
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"

    def end(self) -> int:
        """Return the size of the smallest tree with this tile."""
        return (self.index * WIDTH + self.width) << (_HEIGHT * max(self.level, 0))


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield the tiles of a tree, entry bundles included."""
    level = 0
    while count := size >> (_HEIGHT * level):
        for index in range(0, count, WIDTH):
            width = min(WIDTH, count - index)
            yield Tile(level, index // WIDTH, width)
            if level == 0:
                yield Tile(ENTRIES, index // WIDTH, width)
        level += 1


def read_tile(connection: Reader, tile: Tile, size: int) -> bytes:
    """Return the content of a tile.

    Args:
        connection: The log.
        tile: The tile.
        size: Size of the newest checkpoint: later entries are not published.

    Raises:
        NotFoundError: The tree does not have the tile yet.
        ArchivedError: It has archived entries: the log is pruned up to the end of this bundle.
        AuditLogError: An entry is longer than a bundle can contain, or the log is damaged.
    """
    if tile.end() > size:
        raise NotFoundError(f"{tile.path}: the log has {size} entries, the tile needs {tile.end()}")
    first = tile.index * WIDTH
    if tile.level == ENTRIES:
        found = leaves(connection, first, first + tile.width)
        if len(found) != tile.width:
            require_live(connection, first)
            raise AuditLogError(f"{tile.path}: the log lacks an entry: run assay audit verify")
        return b"".join(_prefixed(leaf, index) for index, leaf in enumerate(found, first))
    return b"".join(StoredTree(connection).hashes(_HEIGHT * tile.level, first, first + tile.width))


def export_tiles(database: Location, folder: Path, *, witnessed: bool = False) -> int:
    """Write the log as static files, which any web server can serve.

    Tiles that exist are not written again. Entry bundles with archived entries are left out. The checkpoint
    is written last, so a reader never sees one whose tiles are missing.

    Args:
        database: The log's database.
        folder: Folder of the files; it is created, or completed.
        witnessed: Export the newest checkpoint that had its quorum of cosignatures, if there is one.

    Returns:
        The size of the checkpoint.

    Raises:
        OpenError: The database cannot be read, or a file cannot be written.
        AuditLogError: An entry is longer than a bundle can contain, or the log is damaged.
    """
    note = newest_checkpoint(database, witnessed=witnessed)
    size = checkpoint_size(note)
    connection = open_read_only(database)
    try:
        archived = archived_end(connection)
        folder.mkdir(parents=True, exist_ok=True)
        for tile in tiles_of(size):
            path = folder / tile.path
            if not path.exists() and not _is_archived(tile, archived):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, read_tile(connection, tile, size))
        write_atomically(folder / "checkpoint", note.encode())
    except OSError as error:
        raise OpenError(f"{folder}: the tiles cannot be written: {error.strerror}") from error
    finally:
        connection.close()
    return size


def _is_archived(tile: Tile, archived: int) -> bool:
    return tile.level == ENTRIES and tile.index * WIDTH < archived


def checkpoint_size(note: str) -> int:
    """Return the size in a note of the log's own, without a verification of its signature."""
    return Checkpoint.parse(note.rpartition("\n\n")[0] + "\n").size


def _prefixed(leaf: bytes, index: int) -> bytes:
    if len(leaf) > LONGEST_ENTRY:
        raise AuditLogError(
            f"leaf {index} has {len(leaf)} bytes, an entry bundle of tlog-tiles contains at most"
            f" {LONGEST_ENTRY} of one: use assay audit prove for it"
        )
    return len(leaf).to_bytes(2, "big") + leaf
