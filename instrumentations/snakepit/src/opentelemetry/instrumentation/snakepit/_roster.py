"""The worker processes of a pool, as the library lists them: who came, who left, who crashed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.snakepit._crashes import report_crash
from opentelemetry.instrumentation.snakepit._process import worker_id_of
from opentelemetry.instrumentation.snakepit.pools import pool_worker
from opentelemetry.instrumentation.snakepit.workers import worker_changed

from assay.instrumentation import Foreign, guarded

if TYPE_CHECKING:
    from opentelemetry.instrumentation.snakepit._pools import Pool

EXIT_TIMEOUT = 1.0
"""Seconds to wait for the exit code of a process that has closed its pipes."""


class Roster:
    """The workers of one pool.

    Args:
        pool: The pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._workers: dict[int, Foreign] = {}
        self._recycled: set[int] = set()
        self._crashed: set[int] = set()  # a broken pool still lists them

    def __len__(self) -> int:
        """Return the number of workers that were seen last."""
        return len(self._workers)

    def update(self, processes: Mapping[int, Foreign]) -> None:
        """Emit which workers are new.

        Args:
            processes: The pool's workers now, by process id.
        """
        if processes.keys() == self._workers.keys():
            return
        # The library changes it in another thread.
        current = {key: process for key, process in dict(processes).items() if key not in self._crashed}
        for process_id in current.keys() - self._workers.keys():
            pool_worker("spawned", self._pool.name, self._worker_id(process_id))
        self._recycled &= current.keys()
        self._workers = current

    def recycle(self, process_id: int) -> None:
        """Emit that a worker has run as many tasks as it may."""
        self._recycled.add(process_id)
        worker_changed("recycled", self._pool.name, self._worker_id(process_id), reason="max_tasks")

    @guarded
    def report_crashes(self, error: BaseException | None, planned: Collection[int] = ()) -> None:
        """Emit which workers have crashed.

        Args:
            error: The error that the pool raises for it.
            planned: The exit codes of workers that the pool stops; none while it has not stopped any.
        """
        by_sentinel = {process.sentinel: process for process in self._workers.values()}
        for sentinel in wait(list(by_sentinel), timeout=0):
            process = by_sentinel[sentinel]
            process.join(EXIT_TIMEOUT)
            if process.pid in self._recycled or process.exitcode in planned:
                continue
            if self._workers.pop(process.pid, None) is None:
                continue  # another thread has reported it
            self._crashed.add(process.pid)
            report_crash(self._pool.name, self._worker_id(process.pid), process.exitcode, error)

    @guarded
    def dismiss(self) -> None:
        """Emit that the remaining workers are terminated: the pool is shut down."""
        for process_id in self._workers.keys() - self._recycled:
            pool_worker("terminated", self._pool.name, self._worker_id(process_id), reason="shutdown")
        self._workers.clear()
        self._recycled.clear()

    def _worker_id(self, process_id: int) -> str:
        return worker_id_of(self._pool.name, process_id)
