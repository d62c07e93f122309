"""Pools of processes."""

from __future__ import annotations

import signal
from collections.abc import Collection
from concurrent.futures import BrokenExecutor, process
from types import TracebackType
from typing import Any

from opentelemetry.instrumentation.snakepit._child_tasks import ChildTasks
from opentelemetry.instrumentation.snakepit._commands import command_of, excluded_commands
from opentelemetry.instrumentation.snakepit._pending import Pending
from opentelemetry.instrumentation.snakepit._pools import POOLS, Pool
from opentelemetry.instrumentation.snakepit._submission import submit
from opentelemetry.instrumentation.snakepit._tasks import CarryError

from assay.instrumentation import Call, Foreign, Hooks, LibraryInstrumentor, guarded
from assay.telemetry import correlation

STOPPED = frozenset({0, -signal.SIGTERM})
"""The exit codes of the workers that `ProcessPoolExecutor` stops."""


def carry(error: BaseException, trace_back: TracebackType | None) -> object:
    """Return what the library itself sends for an exception, so that it arrives as it would without us."""
    return process._ExceptionWithTraceback(error, trace_back)  # type: ignore[arg-type] # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportArgumentType]


class ProcessPools:
    """Wraps the methods of `ProcessPoolExecutor`.

    Args:
        instrumentor: Instruments the children too.
        hooks: The user's hooks.
        carry: The library's own way to send an exception.
        planned: The exit codes of the workers that the executor stops.
    """

    def __init__(
        self,
        instrumentor: LibraryInstrumentor,
        hooks: Hooks,
        carry: CarryError = carry,
        planned: Collection[int] = STOPPED,
    ) -> None:
        self._hooks = hooks
        self._excluded = excluded_commands()
        self._tasks = ChildTasks(instrumentor, carry)
        self._planned = planned

    def submit(self, call: Call) -> Foreign:
        """Wrap `submit(fn, /, *args, **kwargs)`."""
        if not call.args:
            return call()
        executor, function = call.instance, call.args[0]
        command = command_of(function, call.args[1:])
        if command.startswith(self._excluded):
            return call()
        pool = _pool_of(executor)
        pending = Pending(pool, command, self._hooks, function, call.args[1:])
        with pending:
            call.args = (self._tasks.make(pending, function), *call.args[1:])
            try:
                future = submit(call, pending, self._report_break)
            except BrokenExecutor as error:
                self._report_refusal(pending, error)
                raise
        _update(pool, executor)
        return future

    def shutdown(self, call: Call) -> Foreign:
        """Wrap `shutdown(wait=True, *, cancel_futures=False)`."""
        pool = POOLS.get(call.instance)
        if pool is None:
            return call()
        _update(pool, call.instance)
        result = call()
        pool.is_closed = True
        # Workers that crashed while the executor was stopping the others.
        pool.roster.report_crashes(None, self._planned)
        pool.roster.dismiss()
        return result

    def _report_break(self, pending: Pending, error: BaseException) -> None:
        """Emit which workers have crashed; the executor has not stopped the others yet."""
        with correlation(pending.correlation_id):
            pending.pool.roster.report_crashes(error)

    @guarded
    def _report_refusal(self, pending: Pending, error: BaseException) -> None:
        """Emit which workers have crashed, unless a request that was open then has reported it."""
        if pending.pool.is_broken:
            return
        pending.pool.is_broken = True
        with correlation(pending.correlation_id):
            pending.pool.roster.report_crashes(error, self._planned)


@guarded
def _update(pool: Pool, executor: Foreign) -> None:
    """Read the workers that the executor has now; None after its shutdown."""
    pool.roster.update(executor._processes or {})  # noqa: SLF001 - there is no public name


def _pool_of(executor: Foreign) -> Pool:
    pool = POOLS.get(executor)
    if pool is None:
        pool = POOLS.find(executor, type(executor).__name__, _count_workers)
        pool.max_tasks = getattr(executor, "_max_tasks_per_child", None)  # from Python 3.11
    return pool


def _count_workers(executor: Any) -> int:  # noqa: ANN401 - see Foreign
    return executor._max_workers  # noqa: SLF001 - there is no public name
