"""Measure audit ingest to SQLite beside Tessera's POSIX driver, a Go library for tamper-evident logs.

Both get the leaves of the same records on one core, in batches of the same size. A batch is on disk and in
the tree before the next one begins, and the roots must be equal. Tessera gets finished leaves and keeps
nothing else of a record; the sink gets OTLP, computes the leaves, and stores columns and receipts too. Needs
Go.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path

from assay.exporters.audit import export_tiles
from assay.proof.note import Checkpoint
from benchmarks.ingest import BATCH, ingest, new_payload
from benchmarks.processes import one_processor
from benchmarks.row import Row

RECORDS = 40_960
SOURCE = Path(__file__).with_name("tessera_append")


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of the sink and Tessera, each with a new log.

    Returns:
        Processor time of the sink ÷ processor time of Tessera; nothing without Go.
    """
    go = shutil.which("go")
    if go is None:
        print("skipping tessera: Go is not installed", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "tessera_append")
        subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, check=True)
        with one_processor():
            pairs = [_pair(program) for _ in range(rounds)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(column) / RECORDS * 1e6 for column in zip(*pairs, strict=True))
    note = f"Tessera, POSIX driver: {theirs:.1f} µs a record; ingest {ours:.1f} µs, batches of {BATCH}"
    return [Row("audit ingest beside Tessera, one core", ratio, None, "at most", rounds, note)]


def _pair(program: Path) -> tuple[float, float]:
    """Return the seconds that the sink and Tessera took for the same leaves."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "log.db")
        ours = ingest(database, [new_payload() for _ in range(RECORDS // BATCH)])
        tiles, leaves = Path(folder, "tiles"), Path(folder, "leaves")
        export_tiles(database, tiles)
        leaves.write_bytes(_entries(tiles))
        note = (tiles / "checkpoint").read_text()
        written = Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")
        done = subprocess.run(
            [program, Path(folder, "tessera"), leaves, str(BATCH)], capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout)
    root = b64encode(written.root).decode()
    assert (found["leaves"], found["root"]) == (written.size, root) == (RECORDS, root), found
    return ours, found["seconds"]


def _entries(tiles: Path) -> bytes:
    """Return the leaves of all entry bundles, each behind its length."""
    bundles = sorted((tiles / "tile" / "entries").rglob("*"), key=lambda path: path.as_posix())
    return b"".join(path.read_bytes() for path in bundles if path.is_file())
