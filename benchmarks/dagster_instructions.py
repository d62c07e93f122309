"""Count the instructions of an instrumented Dagster run of 200 assets, and of the same run without.

The processor time of a run with its event log on disk varies by a fifth on a shared machine; the number of
instructions by less than a thousandth. Valgrind counts those in user mode. The kernel's, which writes the
event log and never anything of ours, are left out, so the ratio is higher than with them.

Each mode runs once in one process and twice in another; the difference is one run, without imports and
set-up. `peer_run` is the program, for ours and for the two other instrumentations on PyPI.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.dagster_peers import OURS, PEERS, PROGRAM, Mode, environment, install_if_possible
from benchmarks.row import Row

BOUND = 1.05
SECONDS = 3600
_COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")


def run(rounds: int = 5) -> list[Row]:
    """Count the instructions of each mode.

    Args:
        rounds: Ignored: the counts do not vary.
    """
    del rounds
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("dagster_instructions is left out: it needs Debian's package valgrind", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as threads:
        peers = [mode for peer in PEERS if (mode := install_if_possible(peer, Path(folder) / peer))]
        modes = [Mode("bare", sys.executable, ""), Mode(OURS, sys.executable, "this checkout"), *peers]
        counts = dict(
            zip([mode.name for mode in modes], threads.map(partial(_count_run, valgrind), modes), strict=True)
        )
    bare, ours = counts["bare"], counts[OURS]
    rows = [
        Row(
            "instructions of a Dagster run of 200 assets, event log on disk",
            ours / bare,
            BOUND,
            "at most",
            1,
            f"floor: the bare run, {bare / 1e9:.2f}e9 instructions in user mode",
        )
    ]
    rows += [
        Row(
            f"the same against {peer.name}",
            ours / counts[peer.name],
            1.0,
            "at most",
            1,
            f"floor: {peer.release}, at {counts[peer.name] / bare:.3f} times the bare run",
        )
        for peer in peers
    ]
    return rows


def _count_run(valgrind: str, mode: Mode) -> int:
    """Return the number of instructions of one run."""
    once, twice = (_count(valgrind, mode, runs) for runs in (1, 2))
    return twice - once


def _count(valgrind: str, mode: Mode, runs: int) -> int:
    counting = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*counting, mode.python, str(PROGRAM), mode.name, str(runs)],
        env={**environment(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    found = _COUNT.search(done.stderr)
    assert found is not None, done.stderr
    return int(found.group(1).replace(",", ""))
