"""Emits records: fills in what the context knows, checks, hands over, and returns a receipt."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from opentelemetry import metrics, trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit.actor import current_actor
from assay.audit.canonical import content, encode
from assay.audit.errors import ShutdownError
from assay.audit.receipt import AuditReceipt
from assay.audit.record import (
    ACTION,
    ACTOR_ID,
    ACTOR_TYPE,
    OUTCOME,
    RECORD_ID,
    SCHEMA_VERSION,
    SOURCE_ID,
    SOURCE_TYPE,
    TARGET_ID,
    TARGET_TYPE,
    AuditRecord,
    check,
    to_log_record,
    to_pairs,
)

_NAMED = {
    RECORD_ID: "record_id",
    ACTOR_ID: "actor_id",
    ACTOR_TYPE: "actor_type",
    ACTION: "action",
    OUTCOME: "outcome",
    TARGET_ID: "target_id",
    TARGET_TYPE: "target_type",
    SOURCE_ID: "source_id",
    SOURCE_TYPE: "source_type",
    SCHEMA_VERSION: "schema_version",
}

# Through the API's proxy: they count as soon as the application has a meter provider.
_meter = metrics.get_meter("assay.audit")
_emitted = _meter.create_counter("audit.records.emitted", "{record}", "Records that callers emitted")
_exported = _meter.create_counter("audit.records.exported", "{record}", "Records that were accepted")
_dropped = _meter.create_counter(
    "audit.records.dropped", "{record}", "Records that were emitted and not accepted; the caller got an error"
)
_duration = _meter.create_histogram(
    "audit.export.duration",
    "s",
    "Time from emission to acceptance",
    # The SDK's default bounds are for milliseconds.
    explicit_bucket_boundaries_advisory=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30),
)


class AuditExporter(Protocol):
    """What carries records away."""

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        """Return the receipts once all records are accepted, or raise."""
        ...

    def shutdown(self) -> None:
        """Close what is open."""
        ...


class AuditLogger:
    """Emits audit records. Nothing is sampled, and nothing is dropped in silence.

    Args:
        exporter: Such as `OTLPAuditExporter`.
        resource: Attributes of the emitting service, such as `service.name`.
    """

    def __init__(self, exporter: AuditExporter, resource: Mapping[str, Any]) -> None:
        self._exporter = exporter
        self._resource = Resource(attributes=to_pairs(resource))
        self._closed = threading.Event()

    def emit(self, record: AuditRecord) -> AuditReceipt:
        """Emit one record, and wait until it is accepted.

        Raises:
            RecordError: A mandatory field is missing or wrong: nothing was sent.
            ShutdownError: The logger is shut down: nothing was sent.
            ExportError: It was not accepted; emit the same record again, with the same `record_id`.
        """
        if self._closed.is_set():
            raise ShutdownError(f"audit record {record.event_name!r} was emitted after the logger's shutdown")
        message = to_log_record(_complete(record))
        covered, _ = content(message)
        record_id = check(covered)
        # The canonical form first: a record that has none is the caller's error before it is anybody else's.
        receipt = AuditReceipt(record_id, hashlib.sha256(encode(covered)).hexdigest())
        return replace(receipt, sink_timestamp=self._hand_over(record_id, message))

    def emit_event(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> AuditReceipt:
        """Emit a bus event as a record; this is what `assay.telemetry.bridge.Bridge(audit=…)` calls.

        Args:
            event_name: The bus event's name.
            attributes: `audit.*` and any others. An actor of the seeds' type `api` becomes a `service`, and
                the body keeps the original.
            body: The event's details.
            time_unix_nano: When it happened, in ns since 1970.

        Raises:
            AuditError: As `emit`.
        """
        named = {_NAMED[key]: str(value) for key, value in attributes.items() if key in _NAMED}
        details = None if body is None else dict(body)
        if named.get("actor_type") == "api":
            named["actor_type"] = "service"
            details = {**(details or {}), "actor_type": "api"}
        others = {key: value for key, value in attributes.items() if key not in _NAMED}
        fields: dict[str, Any] = {"action": "", "outcome": "", **named}
        return self.emit(
            AuditRecord(
                event_name=event_name,
                body=details,
                attributes=others,
                time_unix_nano=time_unix_nano,
                **fields,
            )
        )

    def shutdown(self) -> None:
        """Close the exporter; an `emit` afterwards is an error. Calling it again does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            self._exporter.shutdown()

    def _hand_over(self, record_id: str, message: LogRecord) -> int | None:
        scope = ScopeLogs(log_records=[message])
        request = ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(resource=self._resource, scope_logs=[scope])]
        )
        _emitted.add(1)
        start = time.perf_counter()
        try:
            receipts = self._exporter.export(request)
        except BaseException:
            _dropped.add(1)
            raise
        _exported.add(1)
        _duration.record(time.perf_counter() - start)
        stamps = {receipt.get("record_id"): receipt.get("sink_timestamp") for receipt in receipts}
        stamp = stamps.get(record_id)
        return None if stamp is None else int(stamp)


def _complete(record: AuditRecord) -> AuditRecord:
    """Fill in what is empty and the context, the clock or chance can tell."""
    filled: dict[str, Any] = {}
    now = time.time_ns()
    if not record.actor_id:
        filled["actor_id"], filled["actor_type"] = current_actor()
    elif not record.actor_type:
        filled["actor_type"] = "user"
    if not record.time_unix_nano:
        filled["time_unix_nano"] = now
    if not record.observed_time_unix_nano:
        # A clock that stepped back in between may not make it seen before it happened.
        filled["observed_time_unix_nano"] = max(now, record.time_unix_nano)
    if not record.record_id:
        filled["record_id"] = str(uuid.uuid4())
    if not record.trace_id:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            filled["trace_id"] = span.trace_id.to_bytes(16, "big")
            filled["span_id"] = span.span_id.to_bytes(8, "big")
    return replace(record, **filled)
