"""From an export request to rows: one pass, and every record on its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from assay.audit.canonical import attributes, canonical_form, content, encode
from assay.audit.errors import RecordError
from assay.audit.record import RECORD_ID, check
from assay.exporters.audit.entry import Quarantined, Row, columns, record_leaf, timestamp
from assay.exporters.audit.tree import leaf_hash


@dataclass(slots=True)
class Entries:
    """What a batch holds.

    Args:
        sink_time: When the sink took it, in ns since 1970.
        request: What was sent, None if nobody could read it.
        rows: Rows of the table `audit_log` without their index, for the records that hold.
        bad: What does not hold.
    """

    sink_time: int
    request: ExportLogsServiceRequest | None = None
    rows: list[Row] = field(default_factory=list[Row])
    bad: list[Quarantined] = field(default_factory=list[Quarantined])


def read(request: ExportLogsServiceRequest, sink_time: int, record_bytes: int) -> Entries:
    """Turn a request into rows.

    Args:
        request: From a client or a Collector.
        sink_time: When the sink took it, in ns since 1970.
        record_bytes: How long a leaf may be.
    """
    entries = Entries(sink_time, request)
    add_row, inserted_at = entries.rows.append, timestamp(sink_time)
    for part in request.resource_logs:
        try:
            resource = encode({"attributes": attributes(part.resource.attributes)})
        except RecordError as error:
            entries.bad += (quarantine(part, record, f"resource: {error}") for record in _records(part))
            continue
        for record in _records(part):
            try:
                row = _row(record, resource, sink_time, inserted_at, record_bytes)
            except RecordError as error:  # noqa: PERF203  one bad record must not lose the others
                entries.bad.append(quarantine(part, record, str(error)))
            else:
                add_row(row)
    return entries


def quarantine(part: ResourceLogs, record: LogRecord, reason: str) -> Quarantined:
    """Return a record, whole and with its resource, as an entry in quarantine."""
    scope = next(
        (scope for scope in part.scope_logs if any(record is other for other in scope.log_records)),
        ScopeLogs(),
    )
    alone = ResourceLogs(
        resource=part.resource,
        scope_logs=[ScopeLogs(scope=scope.scope, log_records=[record], schema_url=scope.schema_url)],
        schema_url=part.schema_url,
    )
    names = (pair.value.string_value for pair in record.attributes if pair.key == RECORD_ID)
    return Quarantined(
        "record", reason, "protobuf", alone.SerializeToString(deterministic=True), next(names, None) or None
    )


def conflicting(request: ExportLogsServiceRequest, integrity_hash: bytes, reason: str) -> Quarantined:
    """Return the record with this integrity hash as an entry in quarantine.

    It is searched for again: conflicts are rare, and remembering every record for them is not free.
    """
    for part in request.resource_logs:
        for record in _records(part):
            if _digest(record) == integrity_hash:
                return quarantine(part, record, reason)
    raise LookupError("no record of the request has this integrity hash")  # pragma: no cover


def _digest(record: LogRecord) -> bytes | None:
    try:
        return hashlib.sha256(canonical_form(record)).digest()
    except RecordError:
        return None


def _row(record: LogRecord, resource: bytes, sink_time: int, inserted_at: str, record_bytes: int) -> Row:
    if record.dropped_attributes_count:
        raise RecordError(
            f"{record.dropped_attributes_count} attributes were dropped on the way: raise that limit"
        )
    members, integrity = content(record)
    check(members)
    canonical = encode(members)
    leaf = record_leaf(canonical, integrity, resource, sink_time)
    if len(leaf) > record_bytes:
        raise RecordError(f"the record is {len(leaf)} bytes long with its resource, it may be {record_bytes}")
    return (
        *columns(members, inserted_at),
        hashlib.sha256(canonical).digest(),
        leaf.decode(),
        leaf_hash(leaf),
    )


def _records(part: ResourceLogs) -> Iterator[LogRecord]:
    for scope in part.scope_logs:
        yield from scope.log_records
