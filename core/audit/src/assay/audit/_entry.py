"""A record on its way: what is sent, and the futures of its acceptance and its receipt."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs

from assay.audit._receipt import AuditReceipt


@dataclass(frozen=True, slots=True)
class Entry:
    """A complete, valid record.

    Args:
        receipt: Its receipt before the sink has stored it.
        payload: The record with its resource, a serialized OTLP `ResourceLogs`.
    """

    receipt: AuditReceipt
    payload: bytes


class PendingReceipt(Future[AuditReceipt]):
    """The future of a record's receipt.

    `accepted` is the future of the record's acceptance: from then on the record is not lost when the process
    is killed. With a queue on disk that is as soon as the record is on disk; with a queue in memory, when the
    endpoint has accepted it. Its result is the receipt without the sink's timestamp.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry
        self.start = time.perf_counter()
        self.accepted: Future[AuditReceipt] = Future()
        # A caller that stops waiting does not withdraw the record.
        self.set_running_or_notify_cancel()
        self.accepted.set_running_or_notify_cancel()

    def accept(self) -> None:
        """Note that the record is accepted."""
        _set_result(self.accepted, self.entry.receipt)

    def confirm(self, receipt: AuditReceipt) -> None:
        """Note that the record is in the log, or, without receipts, that the endpoint has it."""
        _set_result(self.accepted, self.entry.receipt)
        _set_result(self, receipt)

    def fail(self, error: Exception) -> None:
        """Note that the record was not accepted, or not confirmed."""
        _set_exception(self.accepted, error)
        _set_exception(self, error)


def request_of(entries: Iterable[Entry]) -> ExportLogsServiceRequest:
    """Return one request with the records of all entries; records of equal resources share one."""
    parts: dict[bytes, ResourceLogs] = {}
    for entry in entries:
        part = ResourceLogs.FromString(entry.payload)
        known = parts.setdefault(part.resource.SerializeToString(deterministic=True), part)
        if known is not part:
            known.scope_logs[0].log_records.extend(part.scope_logs[0].log_records)
    return ExportLogsServiceRequest(resource_logs=parts.values())


def _set_result(future: Future[AuditReceipt], receipt: AuditReceipt) -> None:
    try:
        future.set_result(receipt)
    except InvalidStateError:  # a repetition, or `shutdown` has given up waiting for it
        return


def _set_exception(future: Future[AuditReceipt], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:  # as above, or accepted before
        return
