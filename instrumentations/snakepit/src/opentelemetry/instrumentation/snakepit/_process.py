"""Memory, age and open files of this process, and the reasons why processes end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

_MEGABYTE = 1 << 20
_IMPORTED = time.monotonic()


def memory_mb() -> float | None:
    """Return the resident memory of this process in megabytes (2^20 bytes); None if it is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE, 1)
    except (OSError, ValueError, IndexError, AttributeError):
        return _peak_memory_mb()


def _peak_memory_mb() -> float | None:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE, 1)  # bytes on macOS


def uptime_seconds() -> float:
    """Return the time since this process started, in seconds; since this import where that is unknown."""
    try:
        # After the command's name, which may contain blanks, field 22 of proc(5) is the 20th.
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
        booted = float(Path("/proc/uptime").read_text("ascii").split()[0])
        return round(booted - int(fields[19]) / os.sysconf("SC_CLK_TCK"), 1)
    except (OSError, ValueError, IndexError, AttributeError):
        return round(time.monotonic() - _IMPORTED, 1)


def open_files() -> int | None:
    """Return the number of open file descriptors of this process; None if it is unknown."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # the folder itself is open meanwhile
    except OSError:
        return None


def exit_reason(code: int | None) -> str:
    """Return why a process ended, by its exit code as `multiprocessing` has it: `SIGKILL`, `exit code 3`."""
    if code is None:
        return "unknown"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def out_of_memory_kills() -> int:
    """Return how many processes of this control group the kernel killed for lack of memory (cgroup v2)."""
    try:
        events = Path("/sys/fs/cgroup/memory.events").read_text("ascii").split()
        return int(events[events.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return 0


def worker_id_of(pool_name: str, process_id: int) -> str:
    """Return the id of a worker process."""
    return f"{pool_name}-{process_id}"
