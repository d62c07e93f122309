"""Requests from submission to result, in the process that submits them: the span `snakepit.request`."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from time import monotonic_ns
from types import TracebackType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.snakepit._crashes import mend
from opentelemetry.instrumentation.snakepit._pools import POOLS, Pool
from opentelemetry.instrumentation.snakepit.pools import pool_worker
from opentelemetry.instrumentation.snakepit.requests import request, request_completed

from assay.instrumentation import Hooks, Operation, guarded
from assay.telemetry.ambient import correlation_id as ambient_correlation_id
from assay.telemetry.correlation import current

_MS = 1e-6


class Pending:
    """One request; a context manager for its submission.

    Args:
        pool: Its pool.
        command: What the worker executes.
        hooks: The user's hooks.
        function: The user's function.
        args: Its arguments; with the function, for the hooks.

    Attributes:
        id: Id of the request.
        pool: Its pool.
        command: What the worker executes.
        correlation_id: Correlation id of the request.
        worker_id: The worker, once one has begun.
        started: When the worker began, on the monotonic clock, in ns.
    """

    def __init__(
        self, pool: Pool, command: str, hooks: Hooks, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        self.id = f"{_prefix}-{next(_numbers)}"
        self.pool = pool
        self.command = command
        self.correlation_id = current()
        self.worker_id: str | None = None
        self.started: int | None = None
        self._submitted = monotonic_ns()
        self._operation: Operation | None = Operation(
            request(self.id, command, pool_name=pool.name, correlation_id=self.correlation_id),
            function,
            args,
            request_hook=hooks["request_hook"],
            response_hook=hooks["response_hook"],
        )

    def __enter__(self) -> None:
        """Start the span, which is current until the block ends; the request goes on."""
        self._outside, self._before = otel_context.get_current(), ambient_correlation_id.get()
        OPEN[self.id] = self
        self.pool.open.add(self.id)
        if self._operation is not None:
            self._operation.__enter__()

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Restore the context; an exception of the block ends the request."""
        if error is not None:
            self.end(error)
        otel_context.attach(self._outside)
        ambient_correlation_id.set(self._before)

    def begun_by(self, worker_id: str, started: int) -> None:
        """Set the worker, and when it began."""
        self.worker_id, self.started = worker_id, started
        if worker_id not in self.pool.ready:
            self.pool.ready.add(worker_id)
            pool_worker("ready", self.pool.name, worker_id)

    @guarded
    def end(self, error: BaseException | None = None, *, result: object = None, status: str = "") -> None:
        """End the span.

        Args:
            error: The error of the request.
            result: Its result, for the user's hook.
            status: Its outcome, if it is neither `success` nor `error`.
        """
        OPEN.pop(self.id, None)
        self.pool.open.discard(self.id)
        if _when_idle:
            _call_if_idle()
        operation, self._operation = self._operation, None
        if operation is None:
            return
        duration = monotonic_ns() - self._submitted
        queue_time = None if self.started is None else max(self.started - self._submitted, 0)
        self._complete(operation, error, result, status, queue_time)
        request_completed(
            self.id,
            self.command,
            pool_name=self.pool.name,
            success=error is None and not status,
            duration_ms=duration * _MS,
            queue_time_ms=None if queue_time is None else queue_time * _MS,
            worker_id=self.worker_id,
            correlation_id=self.correlation_id,
            status=status or None,
            in_span=True,
        )
        POOLS.outcomes_of(self.pool.name).add(duration, is_error=error is not None)
        if error is None and not status:
            mend(self.pool.name)

    def _complete(
        self,
        operation: Operation,
        error: BaseException | None,
        result: object,
        status: str,
        queue_time: int | None,
    ) -> None:
        operation.result = result
        span = operation.span
        span.metadata.update(
            success=error is None and not status, status=status or ("success" if error is None else "error")
        )
        if self.worker_id is not None:
            span.metadata["worker_id"] = self.worker_id
        if queue_time is not None:
            span.measurements["queue_time"] = queue_time
        if error is not None:
            span.fail(error)
        operation.__exit__(None, None, None)


OPEN: dict[str, Pending] = {}
"""The requests that are not completed, by id."""

_numbers = count(1)
_when_idle: list[Callable[[], object]] = []


def when_idle(action: Callable[[], object]) -> None:
    """Call a function when no request is open: now, or at the end of the last one."""
    _when_idle.append(action)
    _call_if_idle()


def _call_if_idle() -> None:
    while _when_idle and not OPEN:
        _when_idle.pop()()


def _renew() -> None:
    """Forget the requests, which are the parent's, and begin ids of this process's own."""
    global _prefix, _numbers
    # The id has fewer than 16 characters up to a million requests: a longer text is searched for secrets.
    _prefix, _numbers = os.urandom(4).hex(), count(1)
    OPEN.clear()


_prefix = ""
_renew()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
