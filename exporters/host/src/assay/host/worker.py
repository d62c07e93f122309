"""One exporter on a thread of its own, behind a bounded queue."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from assay.host import metrics
from assay.host.errors import Rejected, Retry, StartError
from assay.host.exporter import Batch, Exporter, Result, Signal
from assay.host.settings import ExporterSettings

logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """The exporter has as much before it as it may have."""


class CrashedError(Exception):
    """The exporter raised something else than its two answers; the message gives its type only."""


class Worker:
    """Runs an exporter.

    The queue holds jobs that somebody waits for: nothing in it has been acknowledged, so a job whose sender
    was told to try again is left out, and what is left at the end of a stop is the senders' to send again.

    Args:
        name: The exporter's name in the configuration.
        factory: Makes the exporter; called on its thread, as everything else of it, so that it may hold what
            belongs to one thread.
        settings: How many batches and bytes may wait, the running one counted, and the signals to take.
    """

    exporter: Exporter

    def __init__(self, name: str, factory: Callable[[], Exporter], settings: ExporterSettings) -> None:
        self.name = name
        self.limits = settings.queue
        self._chosen = settings.signals
        self.signals: frozenset[Signal] = frozenset()
        self.undecodable = False
        self.last_error = ""
        self._factory = factory
        self._jobs: queue.SimpleQueue[tuple[Batch, Future[Result]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._batches = 0
        self._bytes = 0
        self._thread = threading.Thread(target=self._run, name=f"assay-exporter-{name}", daemon=True)
        self._made: Future[Exporter] = Future()

    @property
    def depth(self) -> int:
        """Batches that wait or run."""
        return self._batches

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def room(self, size: int) -> bool:
        """Whether a batch of `size` bytes fits; one batch always fits into an empty queue."""
        return not self._batches or (
            self._batches < self.limits.batches and self._bytes + size <= self.limits.bytes
        )

    def start(self) -> None:
        """Start the thread, and wait until the exporter is made.

        Raises:
            StartError: Its constructor failed.
        """
        self._thread.start()
        try:
            self.exporter = self._made.result()
        except BaseException as error:
            raise StartError(
                f"exporters.{self.name}: cannot start: {type(error).__name__}: {error}"
            ) from error
        self.signals = self.exporter.signals if self._chosen is None else self._chosen
        self.undecodable = bool(getattr(self.exporter, "undecodable", False))

    def submit(self, batch: Batch) -> Future[Result]:
        """Queue a batch; the future ends with the exporter's result, or with what it raised.

        Raises:
            QueueFullError: There is no room.
        """
        job: Future[Result] = Future()
        with self._lock:
            if not self.room(len(batch.payload)):
                raise QueueFullError(self.name)
            self._batches += 1
            self._bytes += len(batch.payload)
        self._jobs.put((batch, job))
        return job

    def stop(self) -> None:
        """Ask the thread to end after what is queued, with the exporter's `shutdown`."""
        self._jobs.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the end; false when it did not come in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            exporter = self._factory()
        except BaseException as error:  # noqa: BLE001  whoever starts the thread has to get it
            self._made.set_exception(error)
            return
        self._made.set_result(exporter)
        self._work()
        try:
            exporter.shutdown()
        except Exception:
            logger.exception("exporter %s: shutdown failed", self.name)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, future = job
            if future.set_running_or_notify_cancel():
                self._export(batch, future)
            else:
                self._leave(batch)

    def _leave(self, batch: Batch) -> None:
        """Give a batch's place away: before its sender has the answer, who may send the next at once."""
        with self._lock:
            self._batches -= 1
            self._bytes -= len(batch.payload)

    def _export(self, batch: Batch, future: Future[Result]) -> None:
        start = time.perf_counter()
        outcome = "accepted"
        try:
            result = self.exporter.export(batch) or Result()
        except BaseException as error:  # noqa: BLE001  not even SystemExit may end the thread: the sender gets it
            outcome = self._failed(error)
            expected = isinstance(error, (Retry, Rejected))
            self._leave(batch)
            future.set_exception(error if expected else CrashedError(type(error).__name__))
        else:
            self.last_error = ""
            self._leave(batch)
            future.set_result(result)
        metrics.exported(self.name, batch, outcome, time.perf_counter() - start)

    def _failed(self, error: BaseException) -> str:
        if isinstance(error, Rejected):  # the sender's mistake
            self.last_error = ""
            logger.warning("exporter %s: rejected a batch: %s", self.name, error.reason)
            return "rejected"
        self.last_error = type(error).__name__
        if isinstance(error, Retry):
            logger.warning("exporter %s: try again: %s", self.name, error.reason)
            return "retry"
        # The message of a foreign error may quote the payload: its type and place are enough to find it.
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "unknown"
        logger.error("exporter %s: export failed with %s at %s", self.name, type(error).__name__, place)
        return "failed"
