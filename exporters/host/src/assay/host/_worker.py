"""Run one exporter on its own thread, behind a bounded queue."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from assay.host import _metrics
from assay.host._expansion import memory
from assay.host._settings import ExporterSettings
from assay.host.errors import Rejected, Retry, StartError
from assay.host.escaping import escaped
from assay.host.exporter import Batch, Exporter, Result, Signal

logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """The exporter's queue has no room; the message is the exporter's name."""


class CrashedError(Exception):
    """The exporter raised an exception other than `Retry` and `Rejected`; the message is only its type."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A batch in the queue, the bytes that it takes there, and the future of its result."""

    batch: Batch
    space: int
    future: Future[Result]


class Worker:
    """Runs an exporter.

    A sender waits for every job in the queue: no queued batch has been acknowledged. The worker therefore
    skips a job whose sender was asked to try again, and senders resend the jobs that are left after a stop.

    Args:
        name: The exporter's name in the configuration.
        factory: Creates the exporter. The worker calls it on the exporter's thread, like all its methods, so
            that the exporter may hold objects that belong to one thread.
        settings: The exporter's section: the bounds of the queue, which include the batch being exported, and
            the signals to accept.
    """

    exporter: Exporter

    def __init__(self, name: str, factory: Callable[[], Exporter], settings: ExporterSettings) -> None:
        self.name = name
        self.limits = settings.queue
        self.signals: frozenset[Signal] = frozenset()
        self.undecodable = False
        self.last_error = ""
        self._selected_signals = settings.signals
        self._factory = factory
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._batches = 0
        self._bytes = 0
        self._thread = threading.Thread(target=self._run, name=f"assay-exporter-{name}", daemon=True)
        self._created: Future[Exporter] = Future()

    @property
    def depth(self) -> int:
        """The number of batches that wait or are being exported."""
        return self._batches

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def problem(self) -> str:
        """Return what the exporter reports to an operator, empty if nothing."""
        report: Callable[[], str] | None = getattr(self.exporter, "problem", None)
        return "" if report is None else report()

    def has_room(self, batch: Batch) -> bool:
        """Return whether a batch fits. An empty queue has room for any batch."""
        return self._space(batch) is not None

    def start(self) -> None:
        """Start the thread and wait until it has created the exporter.

        Raises:
            StartError: The exporter's constructor failed.
        """
        self._thread.start()
        try:
            self.exporter = self._created.result()
        except BaseException as error:
            raise StartError(
                f"exporters.{self.name}: cannot start: {type(error).__name__}: {error}"
            ) from error
        self.signals = self._selected_signals or self.exporter.signals
        self.undecodable = bool(getattr(self.exporter, "undecodable", False))

    def submit(self, batch: Batch) -> Future[Result]:
        """Queue a batch and return the future of the exporter's result or exception.

        Raises:
            QueueFullError: The queue has no room.
        """
        job: Future[Result] = Future()
        with self._lock:
            space = self._space(batch)
            if space is None:
                raise QueueFullError(self.name)
            self._batches += 1
            self._bytes += space
        self._jobs.put(_Job(batch, space, job))
        return job

    def stop(self) -> None:
        """Ask the thread to process the queue, shut the exporter down, and end."""
        self._jobs.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the thread at most `seconds`, and return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _space(self, batch: Batch) -> int | None:
        """Return the bytes of the queue that a batch takes; None if it does not fit.

        Its messages are counted only if the most that they can take does not fit.
        """
        if self._batches and self._batches >= self.limits.batches:
            return None
        free = self.limits.bytes - self._bytes
        space = batch.memory or len(batch.payload)
        if space > free and batch.request is not None:
            space = memory(batch.payload, _metrics.count_items(batch.request), batch.encoding)
        return space if space <= free or not self._batches else None

    def _run(self) -> None:
        try:
            exporter = self._factory()
        except BaseException as error:  # noqa: BLE001  `start` raises it to its caller
            self._created.set_exception(error)
            return
        self._created.set_result(exporter)
        self._process_queue()
        try:
            exporter.shutdown()
        except Exception:
            logger.exception("exporter %s: shutdown failed", self.name)

    def _process_queue(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.future.set_running_or_notify_cancel():
                self._export(job)
            else:
                self._leave_queue(job)

    def _leave_queue(self, job: _Job) -> None:
        """Free the batch's place in the queue.

        Call this before the sender gets its answer: the sender may send the next batch at once.
        """
        with self._lock:
            self._batches -= 1
            self._bytes -= job.space

    def _export(self, job: _Job) -> None:
        batch, future = job.batch, job.future
        start = time.perf_counter()
        outcome = "accepted"
        try:
            result = self.exporter.export(batch) or Result()
        except BaseException as error:  # noqa: BLE001  no exception, not even SystemExit, may end the thread
            outcome = self._report_failure(error)
            expected = isinstance(error, (Retry, Rejected))
            self._leave_queue(job)
            future.set_exception(error if expected else CrashedError(type(error).__name__))
        else:
            self.last_error = ""
            self._leave_queue(job)
            future.set_result(result)
        _metrics.exported(self.name, batch, outcome, time.perf_counter() - start)

    def _report_failure(self, error: BaseException) -> str:
        """Log why an export failed, and return its outcome for the metrics."""
        if isinstance(error, Rejected):  # the sender's fault, so the exporter stays healthy
            self.last_error = ""
            logger.warning("exporter %s: rejected a batch: %s", self.name, escaped(error.reason))
            return "rejected"
        self.last_error = type(error).__name__
        if isinstance(error, Retry):
            logger.warning("exporter %s: asked the sender to try again: %s", self.name, escaped(error.reason))
            return "retry"
        # The message of an unknown exception may contain payload, so only its type and location are logged.
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "unknown"
        logger.error("exporter %s: export failed with %s at %s", self.name, type(error).__name__, place)
        return "failed"
