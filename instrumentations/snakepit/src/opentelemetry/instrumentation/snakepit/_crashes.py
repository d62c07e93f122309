"""Crashes of workers, from their detection until the pool is whole again."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.instrumentation.snakepit._process import exit_reason, out_of_memory_kills
from opentelemetry.instrumentation.snakepit.workers import worker_changed, worker_crashed

from assay.telemetry.correlation import correlation, current
from assay.telemetry.spans import qualified_name

_seen_kills = out_of_memory_kills()


class Crash(NamedTuple):
    """A worker that crashed and whose place has not been filled since."""

    worker_id: str
    correlation_id: str


CRASHES: dict[str, list[Crash]] = {}
"""The crashed workers by the name of the pool."""


def report_crash(pool_name: str, worker_id: str, exit_code: int | None, error: BaseException | None) -> None:
    """Emit that a worker crashed.

    Args:
        pool_name: Its pool.
        worker_id: The worker.
        exit_code: Its exit code, negative for a signal; None if it is unknown.
        error: The error that the pool raises for it, if there is one.
    """
    reason, is_system = exit_reason(exit_code), False
    if reason == "SIGKILL" and _killed_for_memory():
        reason, is_system = "out of memory", True
    worker_crashed(
        pool_name,
        worker_id,
        reason=reason,
        error_type=None if error is None else qualified_name(type(error)),
        error_message=None if error is None else str(error),
        error_class="system" if is_system else "worker",
    )
    CRASHES.setdefault(pool_name, []).append(Crash(worker_id, current()))


def mend(pool_name: str) -> None:
    """Emit that the places of crashed workers are filled: a pool of their name has completed a request."""
    if not CRASHES:
        return
    for crash in CRASHES.pop(pool_name, ()):
        with correlation(crash.correlation_id):
            worker_changed("restarted", pool_name, crash.worker_id, reason="crash")


def _killed_for_memory() -> bool:
    global _seen_kills
    before, _seen_kills = _seen_kills, out_of_memory_kills()
    return _seen_kills > before
