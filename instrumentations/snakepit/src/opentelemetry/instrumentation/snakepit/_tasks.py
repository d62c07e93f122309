"""Tasks in a worker: their spans, their errors, and their reports to the process that submitted them.

A `Task` takes the place of the user's function. In a child process it returns a `TaskResult`: the user's
result or exception, and a report. The parent takes them apart before the user's code sees them
(`_results`). Telemetry that fails changes neither.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from time import monotonic_ns
from types import TracebackType
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.snakepit._commands import sanitise
from opentelemetry.instrumentation.snakepit._process import worker_id_of
from opentelemetry.instrumentation.snakepit.errors import error_class, error_context
from opentelemetry.instrumentation.snakepit.python_workers import error_occurred
from opentelemetry.instrumentation.snakepit.requests import python_call

from assay.instrumentation import (
    CarriedContext,
    ChildSetup,
    Foreign,
    RelayBatch,
    RelaySender,
    guarded,
    join_carried,
)
from assay.telemetry import Span
from assay.telemetry.ambient import correlation_id as ambient_correlation_id

CarryError = Callable[[BaseException, TracebackType | None], object]
"""Makes the object that a library sends to the parent for an exception."""


class Label(NamedTuple):
    """The part of a request that its worker knows.

    Args:
        request_id: Id of the request.
        command: What the worker executes.
        pool_name: The worker's pool.
    """

    request_id: str
    command: str
    pool_name: str


class Running:
    """The span of a task in this thread, and the context that it replaces.

    Args:
        label: Of the request.
        worker_id: The worker: this process or thread.
        enter: Makes the request's context current.
    """

    def __init__(self, label: Label, worker_id: str, enter: Callable[[], object]) -> None:
        self._label = label
        self._worker_id = worker_id
        self._outside = otel_context.get_current()
        self._before = ambient_correlation_id.get()
        self._span: Span | None = None
        try:
            enter()
            self._span = python_call(label.command, worker_id=worker_id)
            self._span.__enter__()
        except BaseException:
            self._restore()
            raise

    @guarded
    def end(self) -> None:
        """End the span without an error."""
        if self._span is not None:
            self._span.__exit__(None, None, None)
        self._restore()

    @guarded
    def fail(
        self,
        error: BaseException,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Emit the error and its context, and end the span with it."""
        self._report_error(error, function, args, kwargs)
        span, self._span = self._span, None  # it refers to the error, whose traceback refers to this
        if span is not None:
            span.__exit__(type(error), error, error.__traceback__)
        self._restore()

    @guarded
    def _report_error(
        self,
        error: BaseException,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        label = self._label
        context = error_context(error)
        error_occurred(
            self._worker_id,
            pool_name=label.pool_name,
            request_id=label.request_id,
            command=label.command,
            args=sanitise(function, args, kwargs),
            error_type=context["error_type"],
            error_message=context["error_message"],
            error_class=error_class(error),
            python_traceback=context["python_traceback"],
            memory_mb=context["system_context"].get("memory_mb"),
            uptime_seconds=context["system_context"].get("uptime_seconds"),
        )

    def _restore(self) -> None:
        otel_context.attach(self._outside)
        ambient_correlation_id.set(self._before)


class TaskReport(NamedTuple):
    """A worker's report of a task.

    Args:
        request_id: The request.
        worker_id: The worker.
        process_id: The worker's process.
        started: When it began, on the monotonic clock, which all processes of a machine share; in ns.
        tasks: How many tasks it has run.
        batches: Measurements for the parent to record.
    """

    request_id: str
    worker_id: str
    process_id: int
    started: int
    tasks: int
    batches: tuple[RelayBatch, ...]


class _OpenReport:
    """A report that takes the measurements along when it is pickled.

    It is pickled after the result. If that cannot be pickled, the measurements stay for the next report.
    """

    __slots__ = ("_request_id", "_started", "_worker", "_worker_id")

    def __init__(self, worker: _Worker, request_id: str, worker_id: str, started: int) -> None:
        self._worker = worker
        self._request_id = request_id
        self._worker_id = worker_id
        self._started = started

    def __reduce__(self) -> tuple[Callable[..., TaskReport], tuple[Any, ...]]:
        worker = self._worker
        batches = _drain(worker.sender) or ()
        return TaskReport, (
            self._request_id, self._worker_id, worker.process_id, self._started, worker.tasks, batches,
        )  # fmt: skip


@guarded
def _drain(sender: RelaySender) -> tuple[RelayBatch, ...]:
    return tuple(sender.drain())


class TaskResult:
    """The result of a task on its way to the parent.

    Args:
        result: The user's result.
        error: The user's exception, as the library carries it; None if there is none.
        report: The worker's report; None if telemetry failed there.
    """

    __slots__ = ("error", "report", "result")

    def __init__(self, result: Foreign, error: Foreign, report: Any) -> None:  # noqa: ANN401 - see _OpenReport
        self.result = result
        self.error = error
        self.report = report

    def __reduce__(self) -> tuple[type[TaskResult], tuple[Any, ...]]:
        return TaskResult, (self.result, self.error, self.report)


class Task:
    """The user's function on its way to a child process.

    Args:
        function: The user's function.
        label: Of the request.
        carried: The request's context.
        setup: A pickled `ChildSetup`, used by the child's first task.
        carry: Makes what the library sends for an exception.
        catches: The exceptions that the library sends.
    """

    __slots__ = ("_carried", "_carry", "_catches", "_function", "_label", "_setup")

    def __init__(  # noqa: PLR0913, PLR0917 - pickle gives them by position
        self,
        function: Callable[..., Any],
        label: Label,
        carried: CarriedContext,
        setup: bytes,
        carry: CarryError,
        catches: type[BaseException] = BaseException,
    ) -> None:
        self._function = function
        self._label = label
        self._carried = carried
        self._setup = setup
        self._carry = carry
        self._catches = catches

    def __reduce__(self) -> tuple[Callable[..., Task], tuple[Any, ...]]:
        """Return what a child makes it from: a tuple costs less than an object, and a class for each."""
        label, carried = tuple(self._label), tuple(self._carried)
        return _task, (self._function, label, carried, self._setup, self._carry, self._catches)

    def __call__(self, *args: Foreign, **kwargs: Foreign) -> TaskResult:
        """Call the user's function in the child."""
        started = monotonic_ns()
        function, label = self._function, self._label
        worker_id = worker_id_of(label.pool_name, os.getpid())
        worker = _worker(self._setup)
        report = None if worker is None else _OpenReport(worker, label.request_id, worker_id, started)
        running = self._begin(worker_id)
        try:
            result = function(*args, **kwargs)
        except self._catches as error:
            if running is not None:
                running.fail(error, function, args, kwargs)
            trace_back = error.__traceback__
            # Without this frame, which the user's code does not know.
            return TaskResult(None, self._carry(error, trace_back and trace_back.tb_next), report)
        if running is not None:
            running.end()
        return TaskResult(result, None, report)

    @guarded
    def _begin(self, worker_id: str) -> Running:
        return Running(self._label, worker_id, self._join)

    def _join(self) -> None:
        join_carried(self._carried)


def _task(  # noqa: PLR0913, PLR0917 - as `Task.__reduce__` gives them
    function: Callable[..., Any],
    label: tuple[Any, ...],
    carried: tuple[Any, ...],
    setup: bytes,
    carry: CarryError,
    catches: type[BaseException],
) -> Task:
    return Task(function, Label(*label), CarriedContext(*carried), setup, carry, catches)


class _Worker:
    """This process as a worker.

    Attributes:
        process_id: Its process id.
        tasks: How many tasks it has run.
        sender: Keeps its measurements for the parent.
    """

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self.tasks = 0
        self.sender = RelaySender()


_this_worker: _Worker | None = None


@guarded
def _worker(setup: bytes) -> _Worker:
    """Count a task of this process; set its telemetry up before the first."""
    global _this_worker  # noqa: PLW0603 - one to a process
    worker = _this_worker
    if worker is None or worker.process_id != os.getpid():
        worker = _this_worker = _Worker()
        unpickled: ChildSetup = pickle.loads(setup)  # noqa: S301 - from the parent, as the task itself
        unpickled.apply(metrics=False)
        worker.sender.start()
    worker.tasks += 1
    return worker
