"""The workers that run in this process, and their memory at each collection of metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI
from opentelemetry.instrumentation.alumiini.repositories import Repository
from opentelemetry.instrumentation.alumiini.workers import worker_started, worker_stopped, workers_active
from opentelemetry.metrics import MeterProvider

from assay.instrumentation import guarded
from assay.semconv import events
from assay.telemetry import bridge

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


class Workers:
    """The workers that run in this process.

    Their memory is what the process has gained since its first worker started: the interpreter and the
    libraries take the same memory however many repositories there are.
    """

    def __init__(self) -> None:
        self._running = 0
        self._before: int | None = None
        """Resident memory of the process before its first worker."""

    @contextmanager
    def running(self, worker_id: str, repository: Repository | None) -> Iterator[None]:
        """Report a worker while the block runs.

        Args:
            worker_id: Identifies the worker.
            repository: Its repository.
        """
        if self._before is None:
            self._before = _resident_bytes()
        self._running += 1
        worker_started(worker_id, repository=repository)
        self.sample()
        try:
            yield
        finally:
            self._running -= 1
            worker_stopped(worker_id, repository=repository)
            self.sample()

    @guarded
    def sample(self) -> None:
        """Emit how many workers run, and their memory."""
        workers_active(self._running, memory_bytes=self._memory())

    @property
    def are_running(self) -> bool:
        """Whether there are any."""
        return self._running > 0

    def _memory(self) -> int | None:
        now = _resident_bytes()
        return None if now is None or self._before is None else max(0, now - self._before)


_observed: Workers | None = None


def observe(workers: Workers, provider: MeterProvider | None) -> None:
    """Sample the workers whenever the metrics of a provider are collected, until `forget`.

    Args:
        workers: The workers.
        provider: The meter provider; None is the global one.
    """
    global _observed  # noqa: PLW0603 - kopf is instrumented once to a process
    _observed = workers
    bridge.before_collection(events.ALUMIINI_WORKER_COUNT, _sample, provider, ALUMIINI.scope())


def forget() -> None:
    """Stop sampling; in a forked child, too: the workers are its parent's."""
    global _observed  # noqa: PLW0603 - see `observe`
    _observed = None


def _sample() -> None:
    workers = _observed
    if workers is not None and workers.are_running:
        workers.sample()


def _resident_bytes() -> int | None:
    """Return the resident memory of this process (proc(5), `/proc/self/statm`); None where it is unknown."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 - no buffer for one line
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=forget)
