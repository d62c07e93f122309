"""Measure instrumented Dagster runs of 200 assets: ours, and the two other instrumentations on PyPI.

Each peer is installed with the same version of Dagster into an environment of its own in a temporary folder.
In each round every mode runs in a process of its own, the bare run among them; a ratio is that of two
processes of one round. Dagster's event log is on disk. All modes send to batch processors whose exporters
discard. The peers emit spans; ours emits spans, log events and series.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.row import Row

OURS = "assay"
PEERS = ("dagster-otel", "opentelemetry-instrumentation-dagster")
BOUND = 1.05
PROGRAM = Path(__file__).with_name("peer_run.py")
SECONDS = 300


@dataclass(frozen=True)
class Mode:
    """A way to run the job.

    Args:
        name: As `peer_run.py` names it.
        python: The interpreter of its environment.
        release: What is measured, with its version.
    """

    name: str
    python: str
    release: str


def run(rounds: int = 5) -> list[Row]:
    """Measure every mode once a round.

    Args:
        rounds: Number of rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        ours = Mode(OURS, sys.executable, "this checkout")
        peers = [mode for peer in PEERS if (mode := install_if_possible(peer, Path(folder) / peer))]
        ratios, emitted = _measure([ours, *peers], rounds)
    medians = {name: statistics.median(found) for name, found in ratios.items()}

    def row(name: str, bound: float, measured: list[float], floor: str) -> Row:
        return Row(name, statistics.median(measured), bound, "at most", rounds, floor)

    return [
        row(
            "dagster run of 200 assets, beside its peers",
            BOUND,
            ratios[OURS],
            f"floor: the bare run in the same round; a run emits {emitted[OURS]}",
        ),
        *(
            row(
                f"the same against {peer.name}",
                1.0,
                [mine / theirs for mine, theirs in zip(ratios[OURS], ratios[peer.name], strict=True)],
                f"floor: {peer.release}, at {medians[peer.name]:.2f} times the bare run; "
                f"a run emits {emitted[peer.name]}",
            )
            for peer in peers
        ),
    ]


def _measure(modes: list[Mode], rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return each mode's ratios to the bare run, and what its last run emitted."""
    ratios: dict[str, list[float]] = {mode.name: [] for mode in modes}
    emitted: dict[str, str] = {}
    for number in range(rounds):
        # The machine's load changes within a round, so the order alternates.
        order = modes if number % 2 else modes[::-1]
        bare, _ = _process(Mode("bare", sys.executable, ""))
        for mode in order:
            seconds, emitted[mode.name] = _process(mode)
            ratios[mode.name].append(seconds / bare)
    return ratios, emitted


def _process(mode: Mode) -> tuple[float, str]:
    """Return the processor time of a run in seconds, and what it emits."""
    done = subprocess.run(
        [mode.python, str(PROGRAM), mode.name],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert mode.name == "bare" or result["spans"], f"{mode.name} emitted no spans"
    return result["seconds"], f"{result['spans']} spans and {result['logs']} log records"


def environment() -> dict[str, str]:
    """Return this process's environment without settings of telemetry."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}


def install_if_possible(peer: str, folder: Path) -> Mode | None:
    """Install a peer; print the reason and return None if it cannot be installed."""
    try:
        return _install(peer, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = str(getattr(error, "stderr", error))[-500:].strip()
        print(f"{peer} is left out: it cannot be installed: {reason}", file=sys.stderr)
        return None


def _install(peer: str, folder: Path) -> Mode:
    """Install a peer with our versions of Dagster and of OpenTelemetry's SDK.

    Raises:
        subprocess.CalledProcessError: It cannot be installed.
    """
    python = str(folder / "bin/python")
    uv = shutil.which("uv") or str(Path(__file__).parents[1] / ".uv/bin/uv")
    pins = [f"{name}=={version(name)}" for name in ("dagster", "opentelemetry-sdk")]
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", python, peer, *pins],
    ):
        subprocess.run(command, capture_output=True, text=True, check=True)
    code = f"from importlib.metadata import version; print(version({peer!r}))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Mode(peer, python, f"{peer} {found.stdout.strip()}")
