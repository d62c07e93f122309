"""Read an export request into rows of the log, each record on its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from assay.audit.canonical import attributes, canonical_form, content, encode
from assay.audit.errors import RecordError
from assay.audit.record import check
from assay.exporters.audit._entry import QuarantineEntry, Row, columns, record_leaf, timestamp
from assay.exporters.audit._tree import leaf_hash
from assay.semconv import attributes as keys


@dataclass(slots=True)
class BatchEntries:
    """The log entries of one batch.

    Args:
        sink_time: When the sink received the batch, in ns since 1970.
        request: The request; None if it could not be parsed.
        rows: Rows of the table `audit_log` without their index, one for each valid record.
        invalid: An entry for quarantine for each invalid record, or one for the whole batch.
    """

    sink_time: int
    request: ExportLogsServiceRequest | None = None
    rows: list[Row] = field(default_factory=list[Row])
    invalid: list[QuarantineEntry] = field(default_factory=list[QuarantineEntry])


def read_request(request: ExportLogsServiceRequest, sink_time: int, record_bytes: int) -> BatchEntries:
    """Return the entries of a request.

    Args:
        request: From a direct sender or a Collector.
        sink_time: When the sink received it, in ns since 1970.
        record_bytes: Longest leaf that is accepted, in bytes.
    """
    entries = BatchEntries(sink_time, request)
    add_row, inserted_at = entries.rows.append, timestamp(sink_time)
    for part in request.resource_logs:
        try:
            resource = encode({"attributes": attributes(part.resource.attributes)})
        except RecordError as error:
            reason = f"resource: {error}"
            entries.invalid += (quarantine_entry(part, record, reason) for record in _records(part))
            continue
        for record in _records(part):
            try:
                row = _row(record, resource, sink_time, inserted_at, record_bytes)
            except RecordError as error:  # noqa: PERF203  one invalid record must not lose the others
                entries.invalid.append(quarantine_entry(part, record, str(error)))
            else:
                add_row(row)
    return entries


def quarantine_entry(part: ResourceLogs, record: LogRecord, reason: str) -> QuarantineEntry:
    """Return the quarantine entry of a record: the whole record with its resource and scope."""
    scope = next(
        (scope for scope in part.scope_logs if any(record is other for other in scope.log_records)),
        ScopeLogs(),
    )
    alone = ResourceLogs(
        resource=part.resource,
        scope_logs=[ScopeLogs(scope=scope.scope, log_records=[record], schema_url=scope.schema_url)],
        schema_url=part.schema_url,
    )
    ids = (pair.value.string_value for pair in record.attributes if pair.key == keys.AUDIT_RECORD_ID)
    return QuarantineEntry(
        "record", reason, "protobuf", alone.SerializeToString(deterministic=True), next(ids, None) or None
    )


def conflict_entry(request: ExportLogsServiceRequest, integrity_hash: bytes, reason: str) -> QuarantineEntry:
    """Return the quarantine entry of the record with this integrity hash.

    The request is searched again: conflicts are rare, and an index of every record would cost each batch.
    """
    for part in request.resource_logs:
        for record in _records(part):
            if _digest(record) == integrity_hash:
                return quarantine_entry(part, record, reason)
    raise LookupError("no record of the request has this integrity hash")  # pragma: no cover


def _digest(record: LogRecord) -> bytes | None:
    try:
        return hashlib.sha256(canonical_form(record)).digest()
    except RecordError:
        return None


def _row(record: LogRecord, resource: bytes, sink_time: int, inserted_at: str, record_bytes: int) -> Row:
    if record.dropped_attributes_count:
        raise RecordError(
            f"{record.dropped_attributes_count} attributes were dropped before the sink: raise the sender's"
            " attribute limit"
        )
    members, integrity = content(record)
    check(members)
    canonical = encode(members)
    leaf = record_leaf(canonical, integrity, resource, sink_time)
    if len(leaf) > record_bytes:
        raise RecordError(
            f"the record is {len(leaf)} bytes long with its resource, the limit is {record_bytes}"
        )
    return (
        *columns(members, inserted_at),
        hashlib.sha256(canonical).digest(),
        leaf.decode(),
        leaf_hash(leaf),
    )


def _records(part: ResourceLogs) -> Iterator[LogRecord]:
    for scope in part.scope_logs:
        yield from scope.log_records
