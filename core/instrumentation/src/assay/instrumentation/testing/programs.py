"""Real programs under `opentelemetry-instrument`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without the settings of OpenTelemetry and Assay.

    Args:
        variables: Further variables.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}
    return {**inherited, **variables}


def run_instrumented(
    *command: str | Path, environment: Mapping[str, str], folder: Path, timeout: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """Run a command under `opentelemetry-instrument` until it ends.

    Args:
        command: The program and its arguments; `python` is this interpreter.
        environment: Its environment.
        folder: The folder it runs in.
        timeout: Seconds after which it is killed.
    """
    program, *arguments = command
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("opentelemetry-instrument")),
            sys.executable if program == "python" else str(program),
            *map(str, arguments),
        ],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
