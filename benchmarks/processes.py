"""The processor time of other processes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children() -> set[int]:
    """Return the processes that this thread has started and that still run."""
    return {
        int(pid) for pid in Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    }
