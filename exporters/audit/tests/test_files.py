"""Exported files and tiles verify without the database, and a change of any of them is found."""

from __future__ import annotations

import json
import shutil

import orjson
import pytest

from assay.exporters.audit import (
    NotFoundError,
    OpenError,
    ProofError,
    RollbackError,
    VerificationError,
    export_records,
    export_tiles,
    newest_checkpoint,
    verify_export,
    verify_tiles,
)
from assay.exporters.audit._keys import load_or_create
from assay.exporters.audit._tiles import ENTRIES, Tile
from assay.proof import Checkpoint
from assay.proof.note import sign
from assay.proof.tree import Frontier, leaf_hash

from .conftest import make_batch, make_record, rows
from .test_chains import chained


@pytest.fixture
def tiles(log, tmp_path):
    """The tiles of a log of 43 entries."""
    export_tiles(log, tmp_path / "tiles")
    return tmp_path / "tiles"


@pytest.fixture
def many(open_sink, database, tmp_path):
    """The tiles of a log of 600 entries: two full ones of level 0 and a partial one of each level."""
    sink = open_sink(checkpoint_records=200)
    for _ in range(3):
        sink.export(make_batch(*(make_record() for _ in range(200))))
    sink.shutdown()
    export_tiles(database, tmp_path / "many")
    return tmp_path / "many"


@pytest.fixture
def exported(log, tmp_path):
    export_records(log, tmp_path / "records.jsonl")
    return tmp_path / "records.jsonl"


def test_tiles_verify_without_the_database(tiles, log, key):
    key = key()
    log.unlink()
    found = verify_tiles(tiles, key)
    assert (found.records, found.quarantined, found.checkpoint.size) == (40, 3, 43)


def test_tiles_of_several_levels_verify(many, key):
    seen = []
    found = verify_tiles(many, key(), progress=lambda done, total: seen.append((done, total)))
    assert (found.records, seen) == (600, [(256, 600), (512, 600), (600, 600)])


def test_an_empty_log_verifies(open_sink, database, key, tmp_path):
    open_sink().shutdown()
    export_tiles(database, tmp_path / "tiles")
    empty = newest_checkpoint(database)
    assert verify_tiles(tmp_path / "tiles", key(), checkpoint=empty).checkpoint.size == 0


@pytest.mark.parametrize("size", [0, 7, 20, 43])
def test_tiles_extend_a_kept_checkpoint(tiles, log, key, size):
    notes = dict(rows(log, "SELECT size, note FROM checkpoints"))
    kept = notes[min(notes, key=lambda each: abs(each - size))]
    assert (
        verify_tiles(tiles, key(), checkpoint=kept).kept
        == Checkpoint.parse(kept.rpartition("\n\n")[0] + "\n").size
    )


@pytest.mark.parametrize(("size", "message"), [(20, "rewritten"), (44, "rolled back")])
def test_tiles_that_contradict_a_kept_checkpoint_are_found(tiles, log, key, size, message):
    signing = load_or_create(log.with_name("signing.key"))
    kept = sign(Checkpoint(key().name, size, bytes(32)), signing)
    with pytest.raises(RollbackError, match=message):
        verify_tiles(tiles, key(), checkpoint=kept)


def test_tiles_that_are_older_than_a_verification_before_are_found(tiles, log, key):
    signing = load_or_create(log.with_name("signing.key"))
    since = sign(Checkpoint(key().name, 44, bytes(32)), signing)
    with pytest.raises(RollbackError, match="verified before covers 44"):
        verify_tiles(tiles, key(), since=since)


@pytest.mark.parametrize("size", [0, 200, 400, 600])
def test_a_verification_of_tiles_continues_from_a_checkpoint(many, database, key, size):
    """The entries that it covers need not be there: they may be in archives."""
    since = dict(rows(database, "SELECT size, note FROM checkpoints"))[size]
    for index in range(size // 256):
        (many / Tile(ENTRIES, index, 256).path).unlink()
    newest = newest_checkpoint(database)
    found = verify_tiles(many, key(), since=since, checkpoint=newest)
    assert (found.records, found.first, found.kept) == (600 - size, size, 600)
    bundle = many / "tile/entries/002.p/88"
    bundle.write_bytes(bundle.read_bytes().replace(b"alice@example.com", b"carol@example.com"))
    if size < 600:
        with pytest.raises(VerificationError):
            verify_tiles(many, key(), since=since)


@pytest.mark.parametrize("kept", [200, 400, 600])
def test_a_verification_of_tiles_does_not_continue_over_other_hashes(many, database, key, kept):
    notes = dict(rows(database, "SELECT size, note FROM checkpoints"))
    tile = many / "tile/0/000"
    content = tile.read_bytes()
    tile.write_bytes(content[:-32] + bytes(32))
    with pytest.raises(VerificationError, match="rewritten, or a tile was changed"):
        verify_tiles(many, key(), since=notes[400], checkpoint=notes[kept])
    tile.write_bytes(content[:-1])
    with pytest.raises(VerificationError, match="tile/0/000: it ends within its hashes"):
        verify_tiles(many, key(), since=notes[400])


def files_of(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_a_change_of_any_file_is_found(many, key, tmp_path):
    """A byte in the middle, a byte less, a byte more, and the file removed."""
    names = files_of(many)
    assert len(names) == 8  # the checkpoint, three tiles of level 0, one of level 1, three entry bundles
    key = key()
    for name in names:
        content = (many / name).read_bytes()
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        for other in (changed, content[:-1], content + b"\n", None):
            copy = tmp_path / "copy"
            shutil.copytree(many, copy)
            (copy / name).unlink()
            if other is not None:
                (copy / name).write_bytes(other)
            with pytest.raises((VerificationError, OpenError)):
                verify_tiles(copy, key)
            shutil.rmtree(copy)


def test_a_rewritten_tree_without_the_key_is_found(tiles, key):
    """The entry and all its tiles are consistent; only the checkpoint cannot be signed again."""
    bundle = tiles / "tile/entries/000.p/43"
    content = bundle.read_bytes().replace(b"alice@example.com", b"carol@example.com")
    bundle.write_bytes(content)
    hashes, at = b"", 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        hashes, at = hashes + leaf_hash(content[at + 2 : end]), end
    (tiles / "tile/0/000.p/43").write_bytes(hashes)
    with pytest.raises(VerificationError, match="do not hash to the root of the checkpoint"):
        verify_tiles(tiles, key())


def test_a_rewritten_tree_that_was_signed_again_contradicts_a_kept_checkpoint(tiles, log, key):
    kept = dict(rows(log, "SELECT size, note FROM checkpoints"))[20]
    bundle = tiles / "tile/entries/000.p/43"
    content = bundle.read_bytes().replace(b"alice@example.com", b"carol@example.com")
    bundle.write_bytes(content)
    hashes, at = [], 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        hashes.append(leaf_hash(content[at + 2 : end]))
        at = end
    (tiles / "tile/0/000.p/43").write_bytes(b"".join(hashes))
    tree = Frontier()
    tree.extend(hashes)
    signing = load_or_create(log.with_name("signing.key"))
    (tiles / "checkpoint").write_text(sign(Checkpoint(key().name, 43, tree.root()), signing))
    verify_tiles(tiles, key())  # whoever has the key can write another history
    with pytest.raises(RollbackError, match="rewritten"):
        verify_tiles(tiles, key(), checkpoint=kept)


def test_broken_chains_are_reported_from_tiles(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, tmp_path
):
    sink = open_sink()
    one, _, three = chained(record, 3)
    sink.export(batch(one, three))
    sink.shutdown()
    export_tiles(database, tmp_path / "tiles")
    assert "number 2 is missing" in str(verify_tiles(tmp_path / "tiles", key()).chains[0])


def test_a_full_tile_may_replace_a_partial_one(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, tmp_path
):
    sink = open_sink()
    sink.export(batch(*(record() for _ in range(100))))
    sink._log.checkpoint()
    older = newest_checkpoint(database)
    sink.export(batch(*(record() for _ in range(200))))
    sink.shutdown()
    export_tiles(database, tmp_path / "tiles")
    (tmp_path / "tiles" / "checkpoint").write_text(older)
    assert verify_tiles(tmp_path / "tiles", key()).records == 100


def test_a_folder_without_a_checkpoint_cannot_be_verified(tmp_path, log, key):
    with pytest.raises(OpenError):
        verify_tiles(tmp_path, key())


def test_an_export_verifies_without_the_database(exported, log, key):
    key = key()
    log.unlink()
    found = verify_export(exported, key)
    assert (found.first, found.count, found.quarantined, found.checkpoint.size) == (0, 43, 3, 43)


def test_a_period_is_exported(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, tmp_path
):
    sink = open_sink(checkpoint_records=1)
    times = []
    for _ in range(4):
        sink.export(batch(*(record() for _ in range(3))))
        times.append(rows(database, "SELECT max(inserted_at) FROM audit_log")[0][0])
    sink.shutdown()
    file = tmp_path / "period.jsonl"
    assert export_records(database, file, since=times[1], until=times[3]) == 6
    found = verify_export(file, key())
    assert (found.first, found.count) == (3, 6)
    with pytest.raises(OpenError, match="exists"):
        export_records(database, file)
    with pytest.raises(NotFoundError):
        export_records(database, tmp_path / "none", since="2001-01-01", until="2001-01-02")


def changed_lines(lines):
    """Yield changes of an export: what was done, and the lines."""
    for number in (1, 20, len(lines) - 1):
        entry = json.loads(lines[number])
        for member in ("leafIndex", "inclusionProof", "leaf"):
            other = json.loads(lines[number])
            if member == "leafIndex":
                other[member] += 1
            elif member == "inclusionProof":
                other[member] = other[member][1:]
            else:
                other[member]["sinkTimeUnixNano"] = "1"
            yield f"{member} of {number}", [*lines[:number], orjson.dumps(other), *lines[number + 1 :]]
        yield (
            f"key of {number} twice",
            [
                *lines[:number],
                b'{"leafIndex": 0, ' + orjson.dumps(entry)[1:],
                *lines[number + 1 :],
            ],
        )
        yield f"{number} removed", lines[:number] + lines[number + 1 :]
        yield f"{number} twice", lines[: number + 1] + lines[number:]
    yield "swapped", [*lines[:3], lines[4], lines[3], *lines[5:]]
    yield "header removed", lines[1:]
    yield "nothing", []
    header = json.loads(lines[0])
    for member, value in (
        ("entries", 42),
        ("type", "x"),
        ("checkpoint", header["checkpoint"].replace("\n43\n", "\n44\n")),
    ):
        yield f"header {member}", [orjson.dumps({**header, member: value}), *lines[1:]]


def is_refused(file, key):
    try:
        verify_export(file, key)
    except VerificationError:
        return True
    return False


def test_a_change_of_an_export_is_found(exported, key):
    lines, key = exported.read_bytes().splitlines(), key()
    for what, changed in changed_lines(lines):
        exported.write_bytes(b"\n".join(changed))
        assert is_refused(exported, key), what
    exported.write_bytes(b"\n".join(lines))
    verify_export(exported, key)  # the test of the test


def test_a_cut_export_says_so(exported, key):
    exported.write_bytes(b"".join(exported.read_bytes().splitlines(keepends=True)[:-5]))
    with pytest.raises(ProofError, match="38 entries, its first line says 43"):
        verify_export(exported, key())
