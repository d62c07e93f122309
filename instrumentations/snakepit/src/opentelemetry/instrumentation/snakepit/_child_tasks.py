"""Makes the tasks that child processes run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from opentelemetry.instrumentation.snakepit._pending import Pending
from opentelemetry.instrumentation.snakepit._tasks import CarryError, Label, Task

from assay.instrumentation import LibraryInstrumentor, carry_context, prepare_child


class ChildTasks:
    """Makes the tasks of one library.

    Args:
        instrumentor: Instruments the children too.
        carry: The library's own way to send an exception.
        catches: The exceptions that the library sends.
    """

    def __init__(
        self,
        instrumentor: LibraryInstrumentor,
        carry: CarryError,
        catches: type[BaseException] = BaseException,
    ) -> None:
        self._instrumentor = instrumentor
        self._carry = carry
        self._catches = catches
        self._setup: bytes | None = None

    def make(self, pending: Pending, function: Callable[..., Any]) -> Task:
        """Return the task of a request, while it is submitted."""
        if self._setup is None:
            # Each task carries a context of its own.
            setup = replace(prepare_child(self._instrumentor), carriers={}, correlation_id=None)
            self._setup = pickle.dumps(setup)
        return Task(
            function,
            Label(pending.id, pending.command, pending.pool.name),
            carry_context(pending.correlation_id),
            self._setup,
            self._carry,
            self._catches,
        )
