"""Find `opentelemetry-instrument`, under which the demo runs its programs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from assay.cli._demo.errors import DemoError


def instrumented(*command: str) -> list[str]:
    """Return a command that runs a Python program under instrumentation, as users run theirs.

    Args:
        command: The program, which is installed beside this Python or is this Python, and its arguments.

    Raises:
        DemoError: `opentelemetry-instrument` is not installed.
    """
    beside = Path(sys.executable).with_name("opentelemetry-instrument")
    launcher = str(beside) if beside.exists() else shutil.which("opentelemetry-instrument")
    if launcher is None:
        raise DemoError("opentelemetry-instrument is not installed beside this Python: reinstall `assay`")
    return [launcher, *command]
