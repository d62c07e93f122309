"""Jobs of `multiprocessing.Pool`: their tasks on the way to the workers, and the results on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from multiprocessing import pool as library
from types import TracebackType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.snakepit._child_tasks import ChildTasks
from opentelemetry.instrumentation.snakepit._commands import command_of, excluded_commands
from opentelemetry.instrumentation.snakepit._pending import Pending
from opentelemetry.instrumentation.snakepit._results import take_report
from opentelemetry.instrumentation.snakepit._submission import ThreadTask
from opentelemetry.instrumentation.snakepit._tasks import TaskResult
from opentelemetry.instrumentation.snakepit.multiprocessing_pool._workers import pool_of, update

from assay.instrumentation import Call, Foreign, Hooks, LibraryInstrumentor, RelayReceiver, guarded

_Place = tuple[int, int]
"""A job's number, and a task's number in the job."""


class Jobs:
    """Wraps the methods by which tasks and results pass.

    Args:
        instrumentor: Instruments the children too.
        hooks: The user's hooks.
        receiver: Records the measurements of the children.
    """

    def __init__(self, instrumentor: LibraryInstrumentor, hooks: Hooks, receiver: RelayReceiver) -> None:
        self._hooks = hooks
        self._receiver = receiver
        self._excluded = excluded_commands()
        # Other exceptions end the worker, as they do without us.
        self._tasks = ChildTasks(instrumentor, carry, Exception)
        self._waiting: dict[_Place, Pending] = {}

    def apply_async(self, call: Call) -> Foreign:
        """Wrap `apply_async(func, args=(), kwds={}, callback=None, error_callback=None)`."""
        function, args = call.argument("func"), tuple(call.argument("args", ()))
        pending = self._pending(call.instance, function, args)
        if pending is None:
            return call()
        with pending:
            call.replace("func", self._make(call.instance, pending, function))
            result = call()
        place = (result._job, 0)  # noqa: SLF001 - there is no public name
        self._waiting[place] = pending
        if result.ready():  # its result may have come before it was expected
            self._end(place, None, is_success=result.successful())
        update(call.instance)
        return result

    def generate(self, call: Call) -> Iterator[Any]:
        """Wrap `_guarded_task_generation(result_job, func, iterable)`, whose tasks another thread takes."""
        tasks: Iterable[Any] = call()
        return self._instrumented(tasks, call.instance, otel_context.get_current())

    def take_apart(self, call: Call) -> Foreign:
        """Wrap `_set(i, obj)` of the objects that receive results; `obj` is the success and the value."""
        position, (is_success, value) = call.args
        if value.__class__ is TaskResult:
            take_report(value, self._receiver)
            is_success = value.error is None
            value = value.result if is_success else value.error
            call.args = (position, (is_success, value))
        self._end((call.instance._job, position), value, is_success=is_success)  # noqa: SLF001 - as above
        return call()

    def _instrumented(self, tasks: Iterable[Any], owner: Foreign, context: Context) -> Iterator[Any]:
        for task in tasks:
            yield self._wrapped(task, owner, context) or task

    @guarded
    def _wrapped(self, task: Foreign, owner: Foreign, context: Context) -> Foreign:
        """Return a task with a span around it; None to leave it alone."""
        job, position, function, args, kwargs = task
        if function.__name__ == "_helper_reraises_exception":  # the iterable has failed
            return None
        outside = otel_context.get_current()
        otel_context.attach(context)
        try:
            pending = self._pending(owner, function, args)
            if pending is None:
                return None
            self._waiting[job, position] = pending
            with pending:
                return job, position, self._make(owner, pending, function), args, kwargs
        finally:
            otel_context.attach(outside)

    def _pending(self, owner: Foreign, function: Callable[..., Any], args: tuple[Any, ...]) -> Pending | None:
        runs_chunks = getattr(function, "__name__", "") in {"mapstar", "starmapstar"}
        command = command_of(args[0][0] if runs_chunks else function)
        if command.startswith(self._excluded):
            return None
        return Pending(pool_of(owner), command, self._hooks, function, args)

    def _make(self, owner: Foreign, pending: Pending, function: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(owner, library.ThreadPool):
            return ThreadTask(pending, function)
        return self._tasks.make(pending, function)

    def _end(self, place: _Place, value: Foreign, *, is_success: bool) -> None:
        pending = self._waiting.pop(place, None)
        if pending is not None:
            pending.end(None if is_success else value, result=value)


def carry(error: BaseException, trace_back: TracebackType | None) -> object:
    """Return what the library itself sends for an exception, so that it arrives as it would without us."""
    return library.ExceptionWithTraceback(error, trace_back)  # type: ignore[attr-defined, no-untyped-call] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
