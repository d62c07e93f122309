"""Records that wait in memory until a worker thread has handed them over.

The worker keeps trying while the endpoint does not respond, so an outage loses records only when the queue
fills up or the process ends. A queue on disk can take this one's place: `put`, `flush` and `shutdown` are all
that `AuditLogger` uses.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Generic, TypeVar

from assay.audit.errors import ExportError, QueueFullError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

LONGEST_DELAY = 30.0
"""Seconds between two attempts, at most."""
REPORT_INTERVAL = 60.0
"""Seconds between two log messages about records that wait."""

_logger = logging.getLogger("assay.audit")


class MemoryQueue(Generic[ItemT, ResultT]):
    """A bounded queue with one worker thread, which starts with the first item.

    A forked child starts with an empty queue: its parent exports what waited.

    Args:
        export: Hands an item over, and raises `ExportError` when it was not accepted.
        size: How many items may wait.
    """

    def __init__(self, export: Callable[[ItemT], ResultT], size: int) -> None:
        self._export = export
        self._size = size
        self._silent_until = 0.0
        self._reset()

    def put(self, item: ItemT) -> Future[ResultT]:
        """Add an item, without blocking, and return the future of its export.

        Raises:
            QueueFullError: The queue is full.
        """
        self._reset_after_fork()
        future: Future[ResultT] = Future()
        future.set_running_or_notify_cancel()  # a caller that stops waiting does not withdraw the record
        with self._idle:
            try:
                self._items.put_nowait((item, future))
            except queue.Full:
                raise QueueFullError(
                    f"{self._size} audit records wait already: the endpoint does not accept them fast enough"
                ) from None
            self._pending.add(future)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="assay-audit", daemon=True)
                self._worker.start()
        return future

    def flush(self, timeout: float) -> bool:
        """Wait until every item is handed over or has failed, and its future's callbacks have run.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether none waits any more.
        """
        self._reset_after_fork()
        with self._idle:
            return self._idle.wait_for(lambda: not self._pending, timeout)

    def shutdown(self, timeout: float) -> None:
        """Flush, then let every item that still waits fail with `ExportError`.

        Args:
            timeout: Seconds to wait at most.
        """
        self.flush(timeout)
        self._stopping.set()
        with suppress(queue.Full):  # then the worker does not wait for an item
            self._items.put_nowait(None)
        with self._idle:
            waiting, self._pending = self._pending, set()
        for future in waiting:
            _fail(future, ExportError("the process ended before the endpoint accepted the record"))

    def _reset(self) -> None:
        self._process = os.getpid()
        self._idle = threading.Condition()
        self._items: queue.Queue[tuple[ItemT, Future[ResultT]] | None] = queue.Queue(self._size)
        self._pending: set[Future[ResultT]] = set()
        self._stopping = threading.Event()
        self._worker: threading.Thread | None = None

    def _reset_after_fork(self) -> None:
        if self._process != os.getpid():
            self._reset()

    def _work(self) -> None:
        while (entry := self._items.get()) is not None and not self._stopping.is_set():
            item, future = entry
            try:
                result = self._deliver(item)
            except Exception as error:  # noqa: BLE001 - the future raises it
                _fail(future, error)
            else:
                _succeed(future, result)
            with self._idle:
                self._pending.discard(future)
                self._idle.notify_all()

    def _deliver(self, item: ItemT) -> ResultT:
        delay = 1.0
        while True:
            try:
                return self._export(item)
            except ExportError as error:
                if error.is_final:
                    raise
                self._report(error)
                if self._stopping.wait(delay):
                    raise
            delay = min(2 * delay, LONGEST_DELAY)

    def _report(self, error: ExportError) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + REPORT_INTERVAL
            waiting = len(self._pending)
            _logger.warning(
                "audit records wait in memory (%d) and are lost if the process ends: %s", waiting, error
            )


def _succeed(future: Future[ResultT], result: ResultT) -> None:
    try:
        future.set_result(result)
    except InvalidStateError:  # `shutdown` has given up waiting for it
        return


def _fail(future: Future[ResultT], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:  # as above, or handed over in the last moment
        return
