"""The batching processor: records go into a queue, and a worker sends them in batches.

Two threads, which start with the first record: the writer puts records into the queue, all that came
together in one transaction; the sender exports them, and forgets a record once it is confirmed.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterable
from time import monotonic, perf_counter

from assay.audit._delivery import AuditExporter, Delivery, ReceiptSource
from assay.audit._entry import Entry, PendingReceipt
from assay.audit._memory_queue import MemoryQueue
from assay.audit._receipt import AuditReceipt
from assay.audit._schedule import Schedule
from assay.audit._store import AuditQueue, Store
from assay.audit.errors import (
    AuditError,
    ConfigurationError,
    ConflictError,
    ExportError,
    QueueError,
    QueueFullError,
    ShutdownError,
    UnconfirmedError,
)
from assay.audit.instruments import DEPTH, DROPPED, DURATION, EXPORTED

QUEUE_SIZE = 2048
"""Records that may wait for the queue itself, which takes them as fast as the disk does."""
BATCH_SIZE = 512
DELAY = 5.0
"""Seconds that a record waits for others, at most."""
REPORT_INTERVAL = 60.0
"""Seconds between two log messages about records that wait."""

_logger = logging.getLogger("assay.audit")
_live: weakref.WeakSet[BatchProcessor] = weakref.WeakSet()


class BatchProcessor:
    """Sends records in batches, from a queue. Safe to use from several threads and after a fork.

    A forked child has a queue of its own: its parent sends what waited before the fork.

    Args:
        exporter: Such as `OTLPAuditExporter`.
        queue: Where records wait: `DiskQueue` or `MemoryQueue`, which is the default.
        receipts: Confirms records that a Collector took, such as `OTLPAuditReceipts`. Without it a record is
            forgotten once the endpoint has accepted it.
        queue_size: How many records may wait for the queue itself.
        batch_size: How many records one request has, at most.
        delay: Seconds after which a batch is sent that is not full.

    Raises:
        ConfigurationError: A number is not above 0.
    """

    def __init__(  # noqa: PLR0913  one argument for each setting
        self,
        exporter: AuditExporter,
        queue: AuditQueue | None = None,
        *,
        receipts: ReceiptSource | None = None,
        queue_size: int = QUEUE_SIZE,
        batch_size: int = BATCH_SIZE,
        delay: float = DELAY,
    ) -> None:
        for name, value in (("queue_size", queue_size), ("batch_size", batch_size), ("delay", delay)):
            if value <= 0:
                raise ConfigurationError(f"{name} is {value}; it must be more than 0")
        self._exporter = exporter
        self._queue = MemoryQueue() if queue is None else queue
        self._delivery = Delivery(exporter, receipts, self)
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._delay = delay
        self.reset_after_fork()
        _live.add(self)

    def submit(self, entry: Entry, *, urgent: bool = False) -> PendingReceipt:
        """Add a record without blocking, and return the future of its receipt.

        Args:
            entry: The record.
            urgent: Whether to send it now, instead of with others later.

        Raises:
            QueueFullError: Too many records wait for the queue.
            ShutdownError: The processor is shut down.
        """
        pending = PendingReceipt(entry)
        with self._lock:
            if self._is_stopping:
                raise ShutdownError("an audit record was submitted after the processor's shutdown")
            if len(self._unwritten) >= self._queue_size:
                raise QueueFullError(
                    f"{len(self._unwritten)} audit records wait for the queue already: the disk does not take"
                    " them fast enough"
                )
            self._unwritten.append(pending)
            self._schedule.is_urgent |= urgent
            self._start()
            self._to_write.notify()
        return pending

    def force_flush(self, timeout: float) -> bool:
        """Send every record that waits.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether the endpoint has accepted all of them, or rejected them for good.
        """
        with self._lock:
            self._hurry()
            return self._progress.wait_for(self._is_flushed, timeout)

    def shutdown(self, timeout: float) -> bool:
        """Send what waits, and stop. A second call has no effect.

        Records that still wait stay in the queue on disk, for the next process; a queue in memory loses them.

        Args:
            timeout: Seconds to wait at most. With a queue on disk, a failed attempt ends the wait: nothing
                is lost by leaving.

        Returns:
            Whether the endpoint has accepted all of them, or rejected them for good.
        """
        with self._lock:
            if self._is_stopping:
                return True
            self._is_stopping = True
            self._hurry()
            failures = self._schedule.failures
            self._progress.wait_for(lambda: self._is_flushed() or self._has_failed(failures), timeout)
            flushed = self._is_flushed()
            self._is_ended = True
            self._to_write.notify_all()
            self._to_send.notify_all()
            pending = [one for waiting in self._pending.values() for one in waiting] + self._unwritten
            self._pending, self._unwritten = {}, []
            store = self._store
        self._exporter.shutdown()
        if store is not None:
            store.close()
        for one in pending:
            one.fail(self._left_behind(one))
        return flushed

    def depth(self) -> int:
        """Return the number of records that this process has accepted, and that are not confirmed."""
        store = self._store
        return len(self._unwritten) + (0 if store is None else len(store))

    def on_sent(self, record_ids: Iterable[str]) -> None:
        """Note that a Collector has accepted records."""
        with self._lock:
            sent = [pending for record_id in record_ids for pending in self._pending.get(record_id, ())]
        for pending in sent:
            pending.accept()

    def on_confirmed(self, receipts: Iterable[AuditReceipt]) -> None:
        """Note that records are in the log."""
        now = perf_counter()
        for receipt in receipts:
            EXPORTED.add()
            for pending in self._take(receipt.record_id):
                DURATION.record(now - pending.start)
                pending.confirm(receipt)

    def on_rejected(self, record_id: str, error: ExportError) -> None:
        """Note that a record was rejected."""
        _logger.error("audit record %s was rejected and is set aside: %s", record_id, error)
        waiting = self._take(record_id)
        for pending in waiting:
            pending.fail(error)
        if not waiting:  # of a process that has ended
            DROPPED.add()

    def reset_after_fork(self) -> None:
        """Begin with an empty queue, and without threads: those of the parent do not run in a child."""
        # Reentrant: a finalizer or a signal handler may emit a record while this thread has the lock.
        self._lock = threading.RLock()
        self._to_write = threading.Condition(self._lock)
        self._to_send = threading.Condition(self._lock)
        self._progress = threading.Condition(self._lock)
        self._unwritten: list[PendingReceipt] = []
        self._writing = 0
        self._pending: dict[str, list[PendingReceipt]] = {}
        self._store: Store | None = None
        self._schedule = Schedule(self._batch_size, self._delay, adopts=self._queue.is_durable)
        self._is_sending = False
        self._threads: list[threading.Thread] = []
        self._silent_until = 0.0
        self.last_error: Exception | None = None
        self._is_stopping = self._is_ended = False

    def _start(self) -> None:
        if not self._threads:
            for name, run in (("writer", self._write), ("sender", self._send)):
                thread = threading.Thread(target=run, name=f"assay-audit-{name}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _hurry(self) -> None:
        self._schedule.hurry()
        self._to_send.notify()

    def _is_flushed(self) -> bool:
        waiting = 0 if self._store is None else self._store.waiting_count()
        return not self._unwritten and not self._writing and not waiting and not self._is_sending

    def _has_failed(self, before: int) -> bool:
        return self._queue.is_durable and not self._unwritten and self._schedule.failures > before

    def _take(self, record_id: str) -> list[PendingReceipt]:
        with self._lock:
            return self._pending.pop(record_id, [])

    def _left_behind(self, pending: PendingReceipt) -> ExportError:
        if self._queue.is_durable and pending.accepted.done():
            return UnconfirmedError(
                "the process ended before the record was confirmed: it is in the queue on disk, and the next"
                " process sends it"
            )
        return ExportError("the process ended before the endpoint accepted the record")

    def _write(self) -> None:
        while True:
            with self._lock:
                while not self._unwritten and not self._is_ended:
                    self._to_write.wait()
                if self._is_ended:
                    return
                batch, self._unwritten = self._unwritten, []
                self._writing = len(batch)
                for pending in batch:
                    self._pending.setdefault(pending.entry.receipt.record_id, []).append(pending)
            error = self._append(batch)
            if error is None and self._queue.is_durable:
                for pending in batch:
                    pending.accept()
            with self._lock:
                self._writing = 0
                if error is None:
                    self._schedule.note_waiting()
                self._to_send.notify()
                self._progress.notify_all()
            if error is not None:
                self._refuse(batch, error)

    def _append(self, batch: list[PendingReceipt]) -> AuditError | None:
        try:
            store = self._store
            if store is None:
                store = self._queue.open()
                with self._lock:
                    self._store = store
                    self._schedule.note_opened(store)
            store.append([pending.entry for pending in batch])
        except AuditError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the futures raise it
            return QueueError(f"the audit queue failed: {type(error).__name__}: {error}")
        return None

    def _refuse(self, batch: list[PendingReceipt], error: AuditError) -> None:
        """Fail records that were not written. If one of several was the cause, write the others."""
        if len(batch) > 1 and isinstance(error, ConflictError):
            for pending in batch:
                alone = self._append([pending])
                if alone is None:
                    self._accept_late(pending)
                else:
                    self._refuse([pending], alone)
            return
        for pending in batch:
            record_id = pending.entry.receipt.record_id
            with self._lock:
                waiting = [one for one in self._pending.pop(record_id, []) if one is not pending]
                if waiting:
                    self._pending[record_id] = waiting
            pending.fail(error)

    def _accept_late(self, pending: PendingReceipt) -> None:
        if self._queue.is_durable:
            pending.accept()
        with self._lock:
            self._schedule.note_waiting()
            self._to_send.notify()

    def _send(self) -> None:
        while True:
            with self._lock:
                while not self._is_ended and (seconds := self._schedule.wait(self._store)) != 0:
                    self._to_send.wait(seconds)
                if self._is_ended or self._store is None:
                    return
                store = self._store
            for step in (self._send_batch, self._ask_for_receipts, self._adopt):
                try:
                    step(store)
                except Exception as error:  # noqa: BLE001, PERF203 - the records stay in the queue for a later attempt
                    if self._is_ended:
                        return
                    self._report(error)

    def _send_batch(self, store: Store) -> None:
        if not self._schedule.may_send(store):
            return
        self._is_sending = True
        error: Exception | None = None
        try:
            self._delivery.send(store, store.waiting(self._batch_size))
        except Exception as failed:
            error = failed
            raise
        finally:
            with self._lock:
                self._is_sending = False
                self.last_error = error
                if error is None:
                    self._schedule.note_success(store)
                else:
                    self._schedule.note_failure(getattr(error, "retry_after", None))
                self._progress.notify_all()

    def _ask_for_receipts(self, store: Store) -> None:
        if self._schedule.may_confirm():
            try:
                self._delivery.confirm(store)
            finally:
                with self._lock:
                    self._schedule.note_confirmation(store)

    def _adopt(self, store: Store) -> None:
        """Send what processes have left that ended."""
        if not self._schedule.may_adopt(store):
            return
        self._schedule.note_adoption()
        for left in self._queue.abandoned():
            while not self._is_stopping and (waiting := left.waiting(self._batch_size)):
                self._delivery.send(left, waiting)
            if not self._is_stopping:
                self._delivery.confirm(left)

    def _report(self, error: Exception) -> None:
        now = monotonic()
        if now >= self._silent_until and not self._is_stopping:
            self._silent_until = now + REPORT_INTERVAL
            where = "on disk" if self._queue.is_durable else "in memory, and are lost if the process ends"
            _logger.warning("audit records wait (%d) %s: %s", self.depth(), where, error)


def _reset_after_fork() -> None:
    for processor in list(_live):
        processor.reset_after_fork()


def _total_depth() -> int:
    return sum(processor.depth() for processor in list(_live))


DEPTH.follow(_total_depth)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
