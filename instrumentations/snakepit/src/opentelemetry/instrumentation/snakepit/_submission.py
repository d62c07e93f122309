"""Submissions to executors of `concurrent.futures`, and those derived from it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from functools import partial
from threading import current_thread
from time import monotonic_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.snakepit._pending import Pending
from opentelemetry.instrumentation.snakepit._tasks import Label, Running

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry.ambient import correlation_id as ambient_correlation_id

ReportBreak = Callable[[Pending, BaseException], object]
"""Called when an executor gives up, with one of the requests that fail for it."""


def submit(call: Call, pending: Pending, report_break: ReportBreak) -> Foreign:
    """Submit a task; its request ends with its future.

    Args:
        call: Of `Executor.submit`, with the task in place of the user's function.
        pending: The request, while it is submitted.
        report_break: Called when the executor gives up.
    """
    future = call()
    future.add_done_callback(partial(_finish, pending, report_break))
    return future


@guarded
def _finish(pending: Pending, report_break: ReportBreak, future: Foreign) -> None:
    if future.cancelled():
        pending.end(status="canceled")
        return
    error: BaseException | None = future.exception()
    if isinstance(error, BrokenExecutor) and not pending.pool.is_broken:
        pending.pool.is_broken = True
        report_break(pending, error)
    pending.end(error, result=None if error is not None else future.result())


class ThreadTask:
    """The user's function with a span around it, for a worker that is a thread.

    Args:
        pending: The request, while it is submitted.
        function: The user's function.
    """

    __slots__ = ("_context", "_function", "_pending")

    def __init__(self, pending: Pending, function: Callable[..., Any]) -> None:
        self._pending = pending
        self._function = function
        self._context = otel_context.get_current()

    def __call__(self, *args: Foreign, **kwargs: Foreign) -> Foreign:
        """Call the user's function in the worker."""
        function = self._function
        running = self._begin()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if running is not None:
                running.fail(error, function, args, kwargs)
            raise
        if running is not None:
            running.end()
        return result

    @guarded
    def _begin(self) -> Running:
        pending, worker_id = self._pending, current_thread().name
        pending.begun_by(worker_id, monotonic_ns())
        return Running(Label(pending.id, pending.command, pending.pool.name), worker_id, self._join)

    def _join(self) -> None:
        otel_context.attach(self._context)
        ambient_correlation_id.set(self._pending.correlation_id)
