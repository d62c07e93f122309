"""The log as tiles, read by a client that knows the specification and nothing of the log."""

from __future__ import annotations

import base64

import pytest
import requests

from assay.exporters.audit import AuditLogError, NotFoundError, export_tiles
from assay.exporters.audit._tiles import Tile, _prefixed, tiles_of
from assay.proof.note import open_checkpoint
from assay.proof.tree import Frontier, leaf_hash

from .conftest import settings_of

pytestmark = pytest.mark.stores("sqlite", "postgresql")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, []),
        (1, ["tile/0/000.p/1"]),
        (256, ["tile/0/000", "tile/1/000.p/1"]),
        (257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]),
    ],
)
def test_the_tiles_of_a_tree(size, expected):
    paths = [tile.path for tile in tiles_of(size)]
    assert [path for path in paths if "entries" not in path] == expected
    assert len([path for path in paths if "entries" in path]) == -(-size // 256)


def test_the_specifications_example():
    """273 full tiles of level 0 and one of 112; one full one of level 1 and one of 17; one of level 2."""
    found = [tile for tile in tiles_of(70_000) if tile.level >= 0]
    widths = {level: [tile.width for tile in found if tile.level == level] for level in (0, 1, 2, 3)}
    assert (len(widths[0]), widths[0][-1]) == (274, 112)
    assert (widths[1], widths[2], widths[3]) == ([256, 17], [1], [])


@pytest.mark.parametrize(("index", "path"), [(1_234_067, "tile/3/x001/x234/067"), (5, "tile/3/005")])
def test_a_path_parses(index, path):
    assert Tile(3, index, 256).path == path
    assert Tile.parse(path) == Tile(3, index, 256)
    assert Tile.parse(f"{path}.p/7") == Tile(3, index, 7)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/5",
        "tile/00/005",
        "tile/64/005",
        "tile/0/x000/005",
        "tile/0/005.p/0",
        "tile/0/005.p/256",
        "tile/0/005.p/07",
        "tile/0/../005",
        "tile/0/005\n",
        "tile/0/\u0660\u0660\u0665",
        "tile/0/" + "x001/" * 50 + "001",
        "tile/names/000",
    ],
)
def test_another_path_is_not_found(path):
    with pytest.raises(NotFoundError):
        Tile.parse(path)


def tree_of(read):
    """Return size and root of a log, and its leaves, from its files alone."""
    _, size, root = read("checkpoint").decode().split("\n")[:3]
    size = int(size)
    leaves, bundles = [], []
    for index in range(0, size, 256):
        width = min(256, size - index)
        place = f"{index // 256:03d}" + ("" if width == 256 else f".p/{width}")
        hashes, bundle = read(f"tile/0/{place}"), read(f"tile/entries/{place}")
        leaves += [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            bundles.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    assert [leaf_hash(entry) for entry in bundles] == leaves
    tree = Frontier()
    tree.extend(leaves)
    assert tree.root() == base64.b64decode(root)
    return size, bundles


def test_exported_files_contain_the_log(log, tmp_path):
    assert export_tiles(log, tmp_path / "public") == 43
    size, entries = tree_of(lambda path: (tmp_path / "public" / path).read_bytes())
    assert (size, len(entries)) == (43, 43)
    assert sum(b'"quarantine"' in entry for entry in entries) == 3


def test_an_export_is_continued(open_sink, database, record, batch, tmp_path):
    sink = open_sink()
    public = tmp_path / "public"
    for count in (200, 100, 230):
        sink.export(batch(*(record() for _ in range(count))))
        sink._log.checkpoint()
        size = export_tiles(database, public)
        assert tree_of(lambda path: (public / path).read_bytes())[0] == size
    full = (public / "tile/1/000.p/2").read_bytes()
    tree = Frontier()
    level_0 = (public / "tile/0/000").read_bytes()
    tree.extend(level_0[at : at + 32] for at in range(0, len(level_0), 32))
    assert full[:32] == tree.root()


def test_a_long_leaf_is_not_in_an_entry_bundle():
    assert _prefixed(b"x" * 65_535, 0)[:2] == b"\xff\xff"
    with pytest.raises(AuditLogError, match="leaf 7 has 65536 bytes"):
        _prefixed(b"x" * 65_536, 7)


def test_the_host_serves_the_tiles_read_only(run_host, database, record, batch, key):
    listener = {"name": "direct", "protocol": "http", "address": "127.0.0.1:0", "auth": {"bearer": "token"}}
    host = run_host(listener, **settings_of(database), checkpoint_records=1)
    name, port = host.addresses["direct"]
    session = requests.Session()
    session.headers["Authorization"] = "Bearer token"
    for _ in range(2):
        body = batch(*(record() for _ in range(150))).request.SerializeToString()
        headers = {"Content-Type": "application/x-protobuf"}
        assert session.post(f"http://{name}:{port}/v1/audit", body, headers=headers, timeout=30).ok
    prefix = f"http://{name}:{port}/v1/audit/log/"

    def read(path):
        answer = session.get(prefix + path, timeout=30)
        assert answer.status_code == 200, answer.text
        if path == "checkpoint":
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            open_checkpoint(answer.text, key())
        else:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert "immutable" in answer.headers["Cache-Control"]
        return answer.content

    assert tree_of(read)[0] == 300
    for path in ("tile/0/002", "tile/0/001.p/45", "tile/0/x999/000", "signing.key"):
        assert session.get(prefix + path, timeout=30).status_code == 404
    assert session.post(prefix + "checkpoint", timeout=30).status_code == 405
    assert requests.get(prefix + "checkpoint", timeout=30).status_code == 401
