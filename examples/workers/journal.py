"""Records what the pools did, by the objects that they give to the service: futures and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from threading import Lock
from typing import Any

from worker import Classified


class Journal:
    """Counts outcomes, and keeps the worker processes for their exit codes."""

    def __init__(self) -> None:
        self._lock = Lock()  # an executor calls from a thread of its own
        self._outcomes: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._returned: Counter[int] = Counter()
        self._processes: dict[int, BaseProcess] = {}
        self._scored: Counter[int] = Counter()
        self._tasks_per_worker = 0

    def add(self, future: Future[Classified]) -> None:
        """Add a future that is done."""
        with self._lock:
            if future.cancelled():
                self._outcomes["canceled"] += 1
            elif error := future.exception():
                self._add_error(error)
            else:
                self._outcomes["success"] += 1
                self._returned[future.result().process_id] += 1

    def add_refused(self, error: BrokenProcessPool) -> None:
        """Add a submission that the executor has refused."""
        with self._lock:
            self._add_error(error)

    def add_scored(self, scored: Iterable[Classified], tasks_per_worker: int) -> None:
        """Add the results of a pool whose workers run a number of tasks each."""
        self._scored.update(each.process_id for each in scored)
        self._tasks_per_worker = tasks_per_worker

    def see(self, processes: Iterable[BaseProcess]) -> None:
        """Keep processes."""
        self._processes.update({process.pid: process for process in processes if process.pid is not None})

    def unspent(self, process_ids: Iterable[int]) -> set[int]:
        """Return the processes that may run further tasks of the pool."""
        return {each for each in process_ids if self._scored[each] < self._tasks_per_worker}

    def report(self) -> dict[str, Any]:
        """Return the journal.

        `executor` and `pool` are outcomes, `errors` the types of the executor's errors, `exit_codes` those of
        its workers by process id. `returned` and `scored` are the tasks that each worker has returned, and
        `recycled` the workers of the pool that ran as many tasks as they may.
        """
        return {
            "executor": dict(self._outcomes),
            "errors": dict(self._errors),
            "returned": dict(self._returned),
            "exit_codes": {pid: process.exitcode for pid, process in self._processes.items()},
            "pool": {"success": self._scored.total()},
            "scored": dict(self._scored),
            "recycled": [pid for pid, tasks in self._scored.items() if tasks == self._tasks_per_worker],
        }

    def _add_error(self, error: BaseException) -> None:
        self._outcomes["error"] += 1
        self._errors[type(error).__name__] += 1
