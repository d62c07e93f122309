"""Pools of threads."""

from __future__ import annotations

import re

from opentelemetry.instrumentation.snakepit._commands import command_of, excluded_commands
from opentelemetry.instrumentation.snakepit._pending import Pending
from opentelemetry.instrumentation.snakepit._pools import POOLS
from opentelemetry.instrumentation.snakepit._submission import ThreadTask, submit
from opentelemetry.instrumentation.snakepit._upstream import without_threading_instrumentation

from assay.instrumentation import Call, Foreign, Hooks

_UNNAMED = re.compile(r"ThreadPoolExecutor-\d+")


class ThreadPools:
    """Wraps the methods of `ThreadPoolExecutor`.

    Args:
        hooks: The user's hooks.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._excluded = excluded_commands()

    def submit(self, call: Call) -> Foreign:
        """Wrap `submit(fn, /, *args, **kwargs)`."""
        executor = call.instance
        if not call.args or type(executor).__name__ == "InterpreterPoolExecutor":
            return call()  # a call without a function fails; subinterpreters share no objects
        function = without_threading_instrumentation(call.args[0])
        command = command_of(function, call.args[1:])
        if command.startswith(self._excluded):
            return call()
        pool = POOLS.find(executor, _name_of(executor), _count_workers)
        pending = Pending(pool, command, self._hooks, function, call.args[1:])
        with pending:
            call.args = (ThreadTask(pending, function), *call.args[1:])
            return submit(call, pending, _ignore_break)

    @staticmethod
    def shutdown(call: Call) -> Foreign:
        """Wrap `shutdown(wait=True, *, cancel_futures=False)`."""
        pool = POOLS.get(call.instance)
        if pool is not None:
            pool.is_closed = True
        return call()


def _name_of(executor: Foreign) -> str:
    """Return the prefix of its threads' names if the user has given one, else its class."""
    prefix = executor._thread_name_prefix  # noqa: SLF001 - there is no public name
    return type(executor).__name__ if _UNNAMED.fullmatch(prefix) else prefix


def _count_workers(executor: Foreign) -> int:
    return executor._max_workers  # noqa: SLF001 - there is no public name


def _ignore_break(_pending: Pending, _error: BaseException) -> None:
    """Do nothing: a pool of threads breaks when its initializer fails, which the request reports."""
