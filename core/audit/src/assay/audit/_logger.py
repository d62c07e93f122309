"""Emits records: completes them from the context, checks them, hands them over, and returns receipts."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit._actor import current_actor
from assay.audit._queue import MemoryQueue
from assay.audit._receipt import AuditReceipt
from assay.audit.canonical import content, encode
from assay.audit.errors import ShutdownError
from assay.audit.instruments import DROPPED, DURATION, EMITTED, EXPORTED
from assay.audit.record import FIELDS, AuditRecord, check, to_log_record, to_pairs

QUEUE_SIZE = 2048
SHUTDOWN_TIMEOUT = 10.0


class AuditExporter(Protocol):
    """Hands records over to a Collector or a sink."""

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        """Return the receipts once all records are accepted; raise `ExportError` if they are not."""
        ...

    def shutdown(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A record that is complete and valid, and its receipt before the export."""

    request: ExportLogsServiceRequest
    receipt: AuditReceipt
    start: float


class AuditLogger:
    """Emits audit records. Nothing is sampled, and nothing is dropped without an error.

    Args:
        exporter: Such as `OTLPAuditExporter`.
        resource: Attributes of the emitting service, such as `service.name`.
        queue_size: How many submitted records may wait in memory.
    """

    def __init__(
        self, exporter: AuditExporter, resource: Mapping[str, Any], *, queue_size: int = QUEUE_SIZE
    ) -> None:
        self._exporter = exporter
        self._resource = Resource(attributes=to_pairs(resource))
        self._queue = MemoryQueue(self._export, queue_size)
        self._closed = threading.Event()

    def emit(self, record: AuditRecord) -> AuditReceipt:
        """Emit a record, and return its receipt once it is accepted.

        Blocks while the exporter waits for its endpoint: on an event loop, use `submit`.

        Raises:
            RecordError: A mandatory field is missing or a field is invalid. Nothing was sent.
            ShutdownError: The logger is shut down. Nothing was sent.
            ExportError: The record was not accepted. Emit it again, with the same `record_id`.
        """
        EMITTED.add()
        try:
            return self._export(self._prepare(record))
        except BaseException:
            DROPPED.add()
            raise

    def submit(self, record: AuditRecord) -> Future[AuditReceipt]:
        """Emit a record without blocking, and return the future of its receipt.

        The record is completed from the current context and checked now. It waits in memory until a worker
        thread has handed it over, which tries again while the endpoint does not respond. Call `shutdown`
        before the process ends: records that wait then are lost otherwise. The future raises `ExportError`
        if the record was not accepted.

        Raises:
            RecordError: A mandatory field is missing or a field is invalid. Nothing was sent.
            ShutdownError: The logger is shut down. Nothing was sent.
            QueueFullError: Too many records wait. This one was not accepted.
        """
        EMITTED.add()
        try:
            future = self._queue.put(self._prepare(record))
        except BaseException:
            DROPPED.add()
            raise
        future.add_done_callback(_count_failure)
        return future

    def emit_event(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> AuditReceipt:
        """Emit a bus event as a record: the audit writer of a bridge (`Bridge(audit=logger.emit_event)`).

        Args:
            event_name: The bus event's name.
            attributes: `audit.*` and any others. The actor type `api` of the seeds becomes `service`, and the
                body keeps the original.
            body: The event's details.
            time_unix_nano: When it happened, in ns since 1970.

        Raises:
            AuditError: As `emit`.
        """
        return self.emit(_record_of_event(event_name, attributes, body, time_unix_nano))

    def submit_event(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> Future[AuditReceipt]:
        """Submit a bus event as a record; the arguments are those of `emit_event`.

        Raises:
            AuditError: As `submit`.
        """
        return self.submit(_record_of_event(event_name, attributes, body, time_unix_nano))

    def flush(self, timeout: float = SHUTDOWN_TIMEOUT) -> bool:
        """Wait until no submitted record waits any more.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether none waits.
        """
        return self._queue.flush(timeout)

    def shutdown(self, timeout: float = SHUTDOWN_TIMEOUT) -> None:
        """Hand over the records that wait, and close the exporter. A second call has no effect.

        Afterwards `emit` and `submit` raise `ShutdownError`.

        Args:
            timeout: Seconds to wait at most; the futures of records that wait after that raise `ExportError`.
        """
        if not self._closed.is_set():
            self._closed.set()
            self._queue.shutdown(timeout)
            self._exporter.shutdown()

    def _prepare(self, record: AuditRecord) -> _Prepared:
        if self._closed.is_set():
            raise ShutdownError(f"audit record {record.event_name!r} was emitted after the logger's shutdown")
        start = time.perf_counter()
        message = to_log_record(_complete(record))
        covered, _ = content(message)
        record_id = check(covered)
        receipt = AuditReceipt(record_id, hashlib.sha256(encode(covered)).hexdigest())
        logs = ResourceLogs(resource=self._resource, scope_logs=[ScopeLogs(log_records=[message])])
        return _Prepared(ExportLogsServiceRequest(resource_logs=[logs]), receipt, start)

    def _export(self, prepared: _Prepared) -> AuditReceipt:
        receipts = self._exporter.export(prepared.request)
        EXPORTED.add()
        DURATION.record(time.perf_counter() - prepared.start)
        stamps = {receipt.get("record_id"): receipt.get("sink_timestamp") for receipt in receipts}
        stamp = stamps.get(prepared.receipt.record_id)
        return replace(prepared.receipt, sink_timestamp=None if stamp is None else int(stamp))


def _record_of_event(
    event_name: str, attributes: Mapping[str, Any], body: Mapping[str, Any] | None, time_unix_nano: int
) -> AuditRecord:
    fields: dict[str, Any] = {"action": "", "outcome": ""}
    fields |= {FIELDS[key]: str(value) for key, value in attributes.items() if key in FIELDS}
    details = None if body is None else dict(body)
    if fields.get("actor_type") == "api":
        fields["actor_type"] = "service"
        details = {**(details or {}), "actor_type": "api"}
    return AuditRecord(
        event_name=event_name,
        body=details,
        attributes={key: value for key, value in attributes.items() if key not in FIELDS},
        time_unix_nano=time_unix_nano,
        **fields,
    )


def _complete(record: AuditRecord) -> AuditRecord:
    """Return the record with its empty fields set from the context, the clock and a new id."""
    filled: dict[str, Any] = {}
    now = time.time_ns()
    if not record.actor_id:
        filled["actor_id"], filled["actor_type"] = current_actor()
    elif not record.actor_type:
        filled["actor_type"] = "user"
    if not record.time_unix_nano:
        filled["time_unix_nano"] = now
    if not record.observed_time_unix_nano:
        # The clock may have stepped back since the event happened.
        filled["observed_time_unix_nano"] = max(now, record.time_unix_nano)
    if not record.record_id:
        filled["record_id"] = str(uuid.uuid4())
    if not record.trace_id:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            filled["trace_id"] = span.trace_id.to_bytes(16, "big")
            filled["span_id"] = span.span_id.to_bytes(8, "big")
    return replace(record, **filled)


def _count_failure(future: Future[AuditReceipt]) -> None:
    if future.exception() is not None:
        DROPPED.add()
