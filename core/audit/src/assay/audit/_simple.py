"""The simple processor: it sends each record on the thread that emits it."""

from __future__ import annotations

import threading
from dataclasses import replace
from time import perf_counter

from assay.audit._delivery import AuditExporter
from assay.audit._entry import Entry, PendingReceipt, request_of
from assay.audit.errors import ConfigurationError, ShutdownError
from assay.audit.instruments import DURATION, EXPORTED


class SimpleProcessor:
    """Sends each record at once, and has no queue. A record that is not accepted is the caller's error.

    Args:
        exporter: Such as `OTLPAuditExporter`. It is not called by two threads at once.
    """

    last_error: Exception | None = None

    def __init__(self, exporter: AuditExporter) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._is_stopped = False

    def submit(self, entry: Entry, *, urgent: bool = False) -> PendingReceipt:
        """Send a record, and return its receipt as a future that is done.

        Raises:
            ConfigurationError: It was not submitted by `emit`: this processor blocks.
            ShutdownError: The processor is shut down.
            ExportError: The endpoint did not accept the record.
        """
        if not urgent:
            raise ConfigurationError("emit_async needs a queue: use BatchProcessor, not SimpleProcessor")
        pending = PendingReceipt(entry)
        with self._lock:
            if self._is_stopped:
                raise ShutdownError("an audit record was submitted after the processor's shutdown")
            receipts = self._exporter.export(request_of([entry]))
        stamps = {receipt.get("record_id"): receipt.get("sink_timestamp") for receipt in receipts}
        stamp = stamps.get(entry.receipt.record_id)
        EXPORTED.add()
        DURATION.record(perf_counter() - pending.start)
        pending.confirm(replace(entry.receipt, sink_timestamp=None if stamp is None else int(stamp)))
        return pending

    def force_flush(self, timeout: float) -> bool:
        """Return True: nothing waits."""
        del timeout
        return True

    def shutdown(self, timeout: float) -> bool:
        """Close the exporter, and return True. A second call has no effect."""
        del timeout
        if not self._is_stopped:
            self._is_stopped = True
            self._exporter.shutdown()
        return True
