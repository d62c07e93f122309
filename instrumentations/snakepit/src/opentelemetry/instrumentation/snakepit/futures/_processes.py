"""Pools of processes."""

from __future__ import annotations

from concurrent.futures import process
from types import TracebackType
from typing import Any

from opentelemetry.instrumentation.snakepit._child_tasks import ChildTasks
from opentelemetry.instrumentation.snakepit._commands import command_of, excluded_commands
from opentelemetry.instrumentation.snakepit._pending import Pending
from opentelemetry.instrumentation.snakepit._pools import POOLS, Pool
from opentelemetry.instrumentation.snakepit._submission import submit

from assay.instrumentation import Call, Foreign, Hooks, LibraryInstrumentor, guarded
from assay.telemetry import correlation


class ProcessPools:
    """Wraps the methods of `ProcessPoolExecutor`.

    Args:
        instrumentor: Instruments the children too.
        hooks: The user's hooks.
    """

    def __init__(self, instrumentor: LibraryInstrumentor, hooks: Hooks) -> None:
        self._hooks = hooks
        self._excluded = excluded_commands()
        self._tasks = ChildTasks(instrumentor, carry)

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
        with pending.submission():
            call.args = (self._tasks.make(pending, function), *call.args[1:])
            future = submit(call, pending, self._report_break)
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
        pool.roster.dismiss()
        return result

    @staticmethod
    def _report_break(pending: Pending, error: BaseException) -> None:
        with correlation(pending.correlation_id):
            pending.pool.roster.report_crashes(error)


def carry(error: BaseException, trace_back: TracebackType | None) -> object:
    """Return what the library itself sends for an exception, so that it arrives as it would without us."""
    return process._ExceptionWithTraceback(error, trace_back)  # type: ignore[arg-type] # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportArgumentType]


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
