"""Measure `verify` of an SQLite audit log against reading each row and one SHA-256 of its leaf.

The floor is one process. `verify` is measured in one process by processor time, and in as many processes as
there are processors by elapsed time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from assay.exporters.audit import VerifierKey, load_verifier, verify
from benchmarks.ingest import BATCH, ingest, new_payload
from benchmarks.row import Row

RECORDS = 100 * BATCH
BOUND = 3.0


def run(rounds: int = 5) -> list[Row]:
    """Measure floor and verification in turn, on one log.

    Returns:
        Processor time of one process ÷ that of the floor; elapsed time of all processors ÷ that of the floor.
    """
    jobs = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "log.db")
        ingest(database, [new_payload() for _ in range(RECORDS // BATCH)])
        key = load_verifier(database.with_name("verifier.key"))
        times = [_times(database, key, jobs) for _ in range(rounds)]
    one = statistics.median(row[1] / row[0] for row in times)
    shared = statistics.median(row[3] / row[2] for row in times)
    floor, single, floor_elapsed, elapsed = (
        statistics.median(column) / RECORDS * 1e6 for column in zip(*times, strict=True)
    )
    of = f"reading {RECORDS} rows, one SHA-256 each"
    return [
        Row(
            "audit verify, one process",
            one,
            BOUND,
            "at most",
            rounds,
            f"{of}: {floor:.1f} µs of processor time a record; verify {single:.1f} µs",
        ),
        Row(
            f"audit verify, {jobs} processes, elapsed time",
            shared,
            BOUND,
            "at most",
            rounds,
            f"{of}: {floor_elapsed:.1f} µs a record; verify {elapsed:.1f} µs",
        ),
    ]


def _times(database: Path, key: VerifierKey, jobs: int) -> tuple[float, float, float, float]:
    """Return processor times of floor and verification, then elapsed times, in seconds."""
    floor = _measured(lambda: _read(database))
    one = _measured(lambda: verify(database, key))
    shared = _measured(lambda: verify(database, key, jobs=jobs))
    return floor[0], one[0], floor[1], shared[1]


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return the processor time of this process and the elapsed time."""
    processor, elapsed = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - elapsed


def _read(database: Path) -> None:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        for row in connection.execute("SELECT * FROM audit_log ORDER BY leaf_index"):
            hashlib.sha256(row[-2].encode()).digest()
