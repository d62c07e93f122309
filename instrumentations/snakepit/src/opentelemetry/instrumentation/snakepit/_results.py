"""The results of child processes, taken apart in the parent before the user's code sees them."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial, wraps
from typing import Any

from opentelemetry.instrumentation.snakepit._pending import OPEN, when_idle
from opentelemetry.instrumentation.snakepit._tasks import TaskReport, TaskResult

from assay.instrumentation import Foreign, Patches, RelayReceiver, Target, guarded

_SET_RESULT = Target("concurrent.futures", "Future.set_result")


@guarded
def take_report(result: TaskResult, receiver: RelayReceiver) -> None:
    """Record a worker's report: who ran the task, since when, and its measurements."""
    report: TaskReport | None = result.report
    if report is None:
        return
    for batch in report.batches:
        receiver.record(batch)
    pending = OPEN.get(report.request_id)
    if pending is None:
        return
    pending.begun_by(report.worker_id, report.started)
    pool = pending.pool
    if pool.max_tasks is not None and report.tasks >= pool.max_tasks:
        pool.ready.discard(report.worker_id)
        pool.roster.recycle(report.process_id)


class ResultPatch:
    """Makes futures take the results of child processes apart.

    Several instrumentors share it. It stays in force until each has released it and no request is open.
    """

    def __init__(self) -> None:
        self._patches: Patches | None = None
        self._holders = 0

    def acquire(self, receiver: RelayReceiver) -> None:
        """Patch `Future.set_result`, unless it is patched.

        Args:
            receiver: Records the measurements of the children.
        """
        self._holders += 1
        if self._patches is None:
            self._patches = Patches()
            self._patches.replace(_SET_RESULT, partial(_take_apart, receiver))

    def release(self) -> None:
        """Restore the original when nobody needs the patch."""
        self._holders -= 1
        when_idle(self._restore)

    def _restore(self) -> None:
        if self._holders == 0 and self._patches is not None:
            self._patches.restore()
            self._patches = None


RESULT_PATCH = ResultPatch()


def _take_apart(receiver: RelayReceiver, original: Foreign) -> Foreign:
    @wraps(original)
    def set_result(future: Future[Any], result: Foreign) -> None:
        if result.__class__ is TaskResult:
            take_report(result, receiver)
            if result.error is not None:
                future.set_exception(result.error)
                return
            result = result.result
        original(future, result)

    return set_result
