"""The application of the demo: the workload's scripts run as a user runs their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.cli._demo.errors import DemoError

WORKLOAD = "assay.cli._demo.workload"
SECONDS = 300

# No usage statistics leave this machine, and Dagster's default log, which is not JSON, stays quiet.
DAGSTER_YAML = "telemetry:\n  enabled: false\npython_logs:\n  python_log_level: ERROR\n"

CHECKPOINTS = {"requested": 2, "approved": 1, "rejected": 1}


@dataclass(frozen=True)
class Report:
    """What the application itself counted, from Dagster's event log.

    Args:
        exit: Exit status of the driver.
        runs: Run id to job and status.
        executors: The executors that ran.
        assets: Kind of event to asset to count.
        sensor: Polls and triggers.
    """

    exit: int
    runs: Mapping[str, Mapping[str, str]]
    executors: list[str]
    assets: Mapping[str, Mapping[str, int]]
    sensor: Mapping[str, int]

    def total(self, kind: str) -> int:
        """Return how many events of one kind there were over all assets."""
        return sum(self.assets[kind].values())


def run_workload(root: Path, log: Path, environment: Mapping[str, str]) -> Report:
    """Run the project and the approvals, instrumented, and return what they counted.

    Args:
        root: Folder for Dagster's home, the assets' files and the report.
        log: File for everything the processes write: JSON lines.
        environment: Where telemetry and audit records go.

    Raises:
        DemoError: A script ended with an error, or left no report.
    """
    home, store, report = root / "dagster", root / "store", root / "report.json"
    for folder in (home, store):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(DAGSTER_YAML, encoding="utf-8")
    variables = {
        **os.environ,
        **environment,
        "DAGSTER_HOME": str(home),
        "DEMO_STORE": str(store),
        "OTEL_SERVICE_NAME": "demo-shop",
        "ASSAY_LOGS": "json",
        "PYTHONWARNINGS": "ignore",
    }
    pending = root / "pending.json"
    _instrumented(["approvals", "request", str(pending)], log, variables)
    status = _instrumented(["drive", str(report)], log, variables)
    _instrumented(["approvals", "decide", str(pending)], log, variables)
    facts: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return Report(exit=status, **facts)


def _instrumented(arguments: list[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run one script of the workload as a user would start their own.

    Raises:
        DemoError: It did not end well.
    """
    beside = Path(sys.executable).with_name("opentelemetry-instrument")
    launcher = str(beside) if beside.exists() else shutil.which("opentelemetry-instrument")
    if launcher is None:
        raise DemoError("opentelemetry-instrument is not installed beside this Python: reinstall `assay`")
    script, *rest = arguments
    command = [launcher, sys.executable, "-m", f"{WORKLOAD}.{script}", *rest]
    with log.open("ab") as out:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise DemoError(f"the demo's {script} ended with status {done.returncode}; {log} ends with:\n{tail}")
    return done.returncode
