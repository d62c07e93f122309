"""Run the demo's application: the scripts of the workload under `opentelemetry-instrument`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.cli._demo.errors import DemoError
from assay.cli._demo.launcher import instrumented

WORKLOAD = "assay.cli._demo.workload"
SERVICE = "demo-shop"
SECONDS = 300
"""Seconds after which a program of the demo has failed."""

# Dagster sends no usage statistics, and its default log, which is not JSON, is limited to errors.
DAGSTER_YAML = "telemetry:\n  enabled: false\npython_logs:\n  python_log_level: ERROR\n"

CHECKPOINTS = {"requested": 3, "approved": 1, "rejected": 1, "timeout": 1}
_OUTPUT_CHARACTERS = 2000  # of a failed script, in an error


@dataclass(frozen=True)
class WorkloadResult:
    """The application's own counts, from Dagster's event log.

    Args:
        exit: Exit status of the driver.
        runs: Run id to job and status.
        executors: The executors that ran.
        assets: Kind of event to asset to count.
        sensor: Numbers of polls and triggers.
    """

    exit: int
    runs: Mapping[str, Mapping[str, str]]
    executors: list[str]
    assets: Mapping[str, Mapping[str, int]]
    sensor: Mapping[str, int]

    def total(self, kind: str) -> int:
        """Return the number of events of one kind over all assets."""
        return sum(self.assets[kind].values())


def run_workload(root: Path, log: Path, environment: Mapping[str, str]) -> WorkloadResult:
    """Run the project and the approvals under instrumentation, and return their counts.

    Args:
        root: Folder of Dagster's home, the assets' files and the report.
        log: File for the output of all processes: JSON lines.
        environment: The variables that set where telemetry and audit records go.

    Raises:
        DemoError: A script failed.
    """
    home, store, report = root / "dagster", root / "store", root / "report.json"
    for folder in (home, store):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(DAGSTER_YAML, encoding="utf-8")
    variables = {
        **variables_for(SERVICE, root, environment),
        "DAGSTER_HOME": str(home),
        "DEMO_STORE": str(store),
    }
    pending = root / "pending.json"
    run_script("approvals", "request", str(pending), log=log, variables=variables)
    status = run_script("drive", str(report), log=log, variables=variables)
    run_script("approvals", "decide", str(pending), log=log, variables=variables)
    # The last processes may have ended before the log confirmed their records.
    flush = [sys.executable, "-m", "assay.cli", "audit", "flush"]
    run("assay audit flush", flush, log.with_name("flush.log"), variables)
    facts: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return WorkloadResult(exit=status, **facts)


def variables_for(service: str, root: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of one of the demo's services.

    Args:
        service: Its name.
        root: Folder of the demo's files.
        environment: The variables that set where telemetry and audit records go.
    """
    return {
        **os.environ,
        **environment,
        "ASSAY_AUDIT_QUEUE_DIRECTORY": str(root / "audit-queue"),
        "OTEL_SERVICE_NAME": service,
        "ASSAY_LOGS": "json",
        "PYTHONWARNINGS": "ignore",
    }


def run_script(script: str, *arguments: str, log: Path, variables: Mapping[str, str]) -> int:
    """Run one script of the workload under `opentelemetry-instrument`, and return its exit status.

    Raises:
        DemoError: The script failed.
    """
    command = instrumented(sys.executable, "-m", f"{WORKLOAD}.{script}", *arguments)
    return run(script, command, log, variables)


def run(name: str, command: list[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run a program whose output goes to the log, and return its exit status.

    If it is interrupted or takes too long, the processes that it started are killed too.

    Raises:
        DemoError: The program failed, or took too long.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise DemoError(f"the demo's {name} took longer than {SECONDS} s; {_end_of(log)}") from None
    finally:
        if process.returncode is None:
            _kill_session(process)
    if status:
        raise DemoError(f"the demo's {name} exited with status {status}; {_end_of(log)}")
    return status


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(log: Path) -> str:
    output = log.read_text(encoding="utf-8", errors="replace")[-_OUTPUT_CHARACTERS:]
    return f"{log} ends with:\n{output}"
