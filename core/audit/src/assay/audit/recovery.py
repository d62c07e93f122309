"""Send the records that ended processes have left in a queue on disk: `assay audit flush`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from assay.audit._delivery import AuditExporter, Delivery, ReceiptSource
from assay.audit._disk_queue import DiskQueue, DiskStore
from assay.audit._receipt import AuditReceipt
from assay.audit.errors import ExportError

_BATCH = 512
_PAUSE = 0.25  # seconds between two questions for receipts


@dataclass(slots=True)
class Recovered:
    """The outcome of a recovery.

    Args:
        confirmed: How many are in the log, or with the endpoint if there is no source of receipts.
        waiting: How many still wait, or are sent and not confirmed.
        rejected: Ids of the records that are set aside, and the reasons.
        error: Why records still wait; None if none does, or if only receipts are missing.
    """

    confirmed: int = 0
    waiting: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    error: ExportError | None = None

    def on_sent(self, record_ids: Iterable[str]) -> None:
        """Do nothing: a record that was sent is not confirmed yet."""

    def on_confirmed(self, receipts: Iterable[AuditReceipt]) -> None:
        """Count confirmed records."""
        self.confirmed += sum(1 for _ in receipts)

    def on_rejected(self, record_id: str, error: ExportError) -> None:
        """Do nothing: the store lists rejected records."""


def recover(
    queue: DiskQueue,
    exporter: AuditExporter,
    receipts: ReceiptSource | None = None,
    *,
    timeout: float = 30.0,
    retry_rejected: bool = False,
) -> Recovered:
    """Send the records of processes that have ended. Those that run send theirs.

    Args:
        queue: The queue.
        exporter: Sends them.
        receipts: Confirms those that a Collector takes.
        timeout: Seconds to wait for receipts at most.
        retry_rejected: Whether to send records again that were set aside.

    Raises:
        QueueError: A file of the queue cannot be opened.
    """
    recovered = Recovered()
    delivery = Delivery(exporter, receipts, recovered)
    deadline = time.monotonic() + timeout
    for store in queue.unused():
        if retry_rejected:
            store.retry_rejected()
        try:
            _drain(store, delivery, deadline)
        except ExportError as error:
            recovered.error = error
        recovered.waiting += len(store)
        recovered.rejected += store.rejected()
    return recovered


def _drain(store: DiskStore, delivery: Delivery, deadline: float) -> None:
    while len(store):
        while waiting := store.waiting(_BATCH):
            delivery.send(store, waiting)
        delivery.confirm(store)
        if not len(store) or time.monotonic() >= deadline:
            return
        time.sleep(_PAUSE)
