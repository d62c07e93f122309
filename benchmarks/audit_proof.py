"""Measure the proof of a record in a large log beside that in a small one. It grows with the logarithm."""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from assay.exporters.audit import prove
from benchmarks.ingest import BATCH, ingest, new_payload
from benchmarks.row import Row

SMALL, LARGE = 1_024, 32 * BATCH
PROOFS = 200
BOUND = 2.0
"""256 times the records: twice the hashes are a few more than the logarithm needs."""


def run(rounds: int = 5) -> list[Row]:
    """Measure the proofs of the same number of random records in both logs, in turn.

    Returns:
        Time of a proof in the large log ÷ time in the small one.
    """
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small", "log.db"), Path(folder, "large", "log.db")
        ingest(small, [new_payload(SMALL)])
        ingest(large, [new_payload() for _ in range(LARGE // BATCH)])
        chosen = [(log, _record_ids(log)) for log in (small, large)]
        times = [[_seconds(log, ids) for log, ids in chosen] for _ in range(rounds)]
    ratio = statistics.median(at_large / at_small for at_small, at_large in times)
    at_small, at_large = (statistics.median(column) * 1e6 for column in zip(*times, strict=True))
    note = f"{SMALL:,} records: {at_small:.0f} µs a proof; {LARGE:,} records: {at_large:.0f} µs"
    return [Row("proof in a log of 256 times the records", ratio, BOUND, "at most", rounds, note)]


def _record_ids(log: Path) -> list[str]:
    with closing(sqlite3.connect(log)) as connection:
        found = [name for (name,) in connection.execute("SELECT id FROM audit_log")]
    return random.Random(1).sample(found, PROOFS)  # noqa: S311  a choice, not a secret


def _seconds(log: Path, ids: list[str]) -> float:
    """Return the seconds for one proof."""
    start = time.perf_counter()
    for record_id in ids:
        prove(log, record_id)
    return (time.perf_counter() - start) / len(ids)
