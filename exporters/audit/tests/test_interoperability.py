"""Go's note, formats, merkle and proof libraries verify what this package writes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from assay.exporters.audit import Witness, consistency, export_tiles, load_trusted, prove
from assay.exporters.audit._keys import load_or_create

from .conftest import make_batch, make_record, rows
from .witnesses import free_port, serve, wait_until

SOURCES = Path(__file__).with_name("interoperability")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Build the program that verifies with Go's libraries; return a function that runs it."""
    if shutil.which("go") is None:
        reason = "there is no Go compiler"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {reason}")
        pytest.skip(reason)
    program = tmp_path_factory.mktemp("go") / "check"
    subprocess.run(["go", "build", "-mod=readonly", "-o", program, "."], cwd=SOURCES, check=True)

    def run(*files):
        return subprocess.run([program, *files], capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def files(log, key, tmp_path):
    """Return tiles, a consistency proof with the older checkpoint, and proofs of all leaves."""
    export_tiles(log, tmp_path / "tiles")
    connection = sqlite3.connect(log)
    notes = dict(connection.execute("SELECT size, note FROM checkpoints"))
    connection.close()
    (tmp_path / "older").write_text(notes[20])
    (tmp_path / "consistency").write_text(consistency(log, notes[20], notes[43], key()))
    proofs = []
    for leaf in range(43):
        proofs.append(tmp_path / f"{leaf}.tlog-proof")
        proofs[-1].write_bytes(prove(log, leaf))
    return [
        log.with_name("verifier.key"),
        *(tmp_path / n for n in ("tiles", "consistency", "older")),
        *proofs,
    ]


def test_go_verifies_tiles_consistency_and_proofs(check, files):
    done = check(*files)
    assert (done.returncode, done.stdout) == (0, "verified 43 proofs\n"), done.stderr


@pytest.fixture
def rotating(files, open_sink, log):
    """Store one more record while the signing key is rotated."""
    sink = open_sink(key=log.with_name("new.key"), previous_keys=(log.with_name("signing.key"),))
    sink.export(make_batch(make_record()))
    sink.shutdown()
    export_tiles(log, files[1])


@pytest.mark.usefixtures("rotating")
def test_go_verifies_with_each_key_a_log_that_two_keys_sign(check, files, log, tmp_path):
    (tmp_path / "44.tlog-proof").write_bytes(prove(log, 43))
    for number, key in enumerate(log.with_name("verifier.key").read_text().splitlines(keepends=True)):
        verifier = tmp_path / f"{number}.key"
        verifier.write_text(key)
        older = [files[2], files[3]] if number else both_signed(log, tmp_path)
        done = check(verifier, files[1], *older, tmp_path / "44.tlog-proof")
        assert (done.returncode, done.stdout) == (0, "verified 1 proofs\n"), done.stderr


def both_signed(log, folder):
    """Return a consistency proof of the newest checkpoint with itself, and that checkpoint."""
    note = log.with_name("checkpoint").read_text()
    (folder / "both").write_text(note)
    (folder / "same").write_text(f"old 44\n\n{note}")
    return [folder / "same", folder / "both"]


def test_go_verifies_a_cosignature(check, files, log, tmp_path):
    trusted = load_trusted(log.with_name("verifier.key"))
    witness = Witness("witness.test/w1", tmp_path / "witness.key", tmp_path / "witness.db", [trusted])
    note = log.with_name("checkpoint").read_text()
    (tmp_path / "witness.verifier").write_text(witness.verifier_key)
    (tmp_path / "cosigned").write_text(note + witness.add_checkpoint(f"old 0\n\n{note}".encode()))
    witness.close()
    done = check("cosigned", files[0], tmp_path / "witness.verifier", tmp_path / "cosigned")
    assert (done.returncode, done.stdout) == (0, "verified 2 signatures\n"), done.stderr
    (tmp_path / "cosigned").write_text(note)
    done = check("cosigned", files[0], tmp_path / "witness.verifier", tmp_path / "cosigned")
    assert done.stdout == "verified 1 signatures\n"  # the test of the test


def test_go_verifies_the_checkpoint_that_the_sink_has_cosigned(check, files, open_sink, log, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    state, key = tmp_path / "w1.db", tmp_path / "w1.key"
    load_or_create(key)
    with serve("witness.test/w1", key, state, files[0], url) as verifier:
        (tmp_path / "witness.verifier").write_text(verifier)
        (tmp_path / "policy").write_text(f"witness w1 {verifier} {url}\nquorum w1\n")
        sink = open_sink(witness_policy=tmp_path / "policy")
        sink.export(make_batch(make_record()))
        wait_until(lambda: rows(log, "SELECT 1 FROM witnessed WHERE size = 44"))
        sink.shutdown()
    export_tiles(log, tmp_path / "cosigned", witnessed=True)
    for checkpoint in (log.with_name("checkpoint"), tmp_path / "cosigned" / "checkpoint"):
        done = check("cosigned", files[0], tmp_path / "witness.verifier", checkpoint)
        assert (done.returncode, done.stdout) == (0, "verified 2 signatures\n"), done.stderr


@pytest.mark.parametrize("position", [1, 2, 4])
def test_go_refuses_a_changed_file(check, files, position):
    """The test of the test: an entry bundle, a consistency proof, an inclusion proof."""
    file = files[position]
    if file.is_dir():
        (file,) = (file / "tile" / "entries").rglob("43")
    content = bytearray(file.read_bytes())
    content[150] ^= 1
    file.write_bytes(content)
    assert check(*files).returncode == 1
