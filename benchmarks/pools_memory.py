"""Measure the memory of instrumented pools over a million tasks.

The memory is the resident set of the process that submits, and of the one worker, after a tenth of the tasks
and at the end; tasks are empty, and all are exported to processors that discard.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor

from assay.telemetry import correlation
from benchmarks.pools import RUN, instrumentable, nothing, processes, threads
from benchmarks.row import Row

TASKS = 1_000_000
BATCH = 1_000
BOUND = 1.05


def run(rounds: int = 5) -> list[Row]:
    """Run a million tasks in a pool of threads, and a million in a pool of processes.

    Args:
        rounds: Ignored: memory is measured once.
    """
    del rounds
    rows: list[Row] = []
    for name, make in (("thread", threads), ("process", processes)):
        with instrumentable(), correlation(RUN), make() as executor:
            FuturesInstrumentor().instrument()
            try:
                early, late = _memory_over_time(executor)
            finally:
                FuturesInstrumentor().uninstrument()
        rows += [
            Row(
                f"memory of the {who} after {TASKS:,} {name}-pool tasks",
                after / before,
                BOUND,
                "at most",
                1,
                f"floor: after {TASKS // 10:,}, {before / 2**20:.1f} MiB",
            )
            for who, before, after in zip(("submitter", "worker"), early, late, strict=False)
        ]
    return rows


def _memory_over_time(executor: Executor) -> tuple[list[int], list[int]]:
    """Return the memory of the submitter and of its worker process (bytes), early and at the end."""
    early: list[int] = []
    for done in range(0, TASKS, BATCH):
        for future in [executor.submit(nothing) for _ in range(BATCH)]:
            future.result()
        if done + BATCH == TASKS // 10:
            early = _memory(executor)
    return early, _memory(executor)


def _memory(executor: Executor) -> list[int]:
    process_ids = [os.getpid()]
    if isinstance(executor, ProcessPoolExecutor):
        process_ids += executor._processes  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    pages = [int(Path(f"/proc/{each}/statm").read_text("ascii").split()[1]) for each in process_ids]
    return [count * os.sysconf("SC_PAGE_SIZE") for count in pages]
