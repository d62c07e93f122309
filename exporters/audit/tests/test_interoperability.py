"""Go's note, formats, merkle and proof libraries verify what this package writes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from assay.exporters.audit import consistency, export_tiles, prove

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
