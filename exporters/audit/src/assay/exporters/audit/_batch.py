"""Read a batch into rows of the log and quarantine entries, in time and space linear in the batch."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from assay.audit.canonical import Content, attributes, canonical_form, content, encode
from assay.audit.errors import RecordError
from assay.audit.record import check, deviations
from assay.exporters.audit._entry import QuarantineEntry, Row, columns, record_leaf, timestamp, without_nul
from assay.exporters.audit._sequence import Sequenced, sequenced
from assay.exporters.audit._trust import SignedRecord, TrustStore
from assay.host import Batch
from assay.proof.tree import leaf_hash
from assay.semconv import attributes as keys

_LEAF = -2  # position of the leaf in a row


SINGLE_ENTRIES = 100
"""Invalid records of one batch that each get an entry of their own; beyond it the batch gets one entry."""
SINGLE_BYTES = 4 << 20
"""Bytes of these entries together; beyond it the batch gets one entry."""
_REASON_CHARACTERS = 1000


class InvalidRecord(NamedTuple):
    """An invalid record, its place in the request, and why it is invalid."""

    part: ResourceLogs
    scope: ScopeLogs
    record: LogRecord
    reason: str

    @property
    def record_id(self) -> str | None:
        """The `audit.record.id`, None if there is none."""
        pairs = self.record.attributes
        ids = (pair.value.string_value for pair in pairs if pair.key == keys.AUDIT_RECORD_ID)
        return without_nul(next(ids, "")) or None


@dataclass(frozen=True, slots=True)
class Rules:
    """The records that a sink accepts.

    Args:
        trust: The keys whose signatures are accepted.
        record_bytes: Longest leaf that is accepted, in bytes.
        batch_bytes: Maximum length of all leaves of the batch, in bytes. A resource is part of the leaf of
            each of its records, so a short batch may have long leaves.
        ahead_seconds: How far the observed time of a record may be ahead of the sink's clock, in seconds.
    """

    trust: TrustStore
    record_bytes: int
    batch_bytes: int
    ahead_seconds: float


@dataclass(slots=True)
class BatchEntries:
    """The log entries of one batch.

    Args:
        batch: The batch.
        rows: Rows of the table `audit_log` without their index, one for each valid record.
        invalid: The first invalid records, at most `SINGLE_ENTRIES`.
        invalid_count: Number of all invalid records.
        unreadable: Why nothing of the batch can be stored as records; empty otherwise.
        too_long: Whether that is because its records are too long together.
        deviations: Number of valid records that do not follow a recommendation, by its attribute.
        sequenced: The records that are links of a producer's chain, by record id.
    """

    batch: Batch
    rows: list[Row] = field(default_factory=list[Row])
    invalid: list[InvalidRecord] = field(default_factory=list[InvalidRecord])
    invalid_count: int = 0
    unreadable: str = ""
    too_long: bool = False
    deviations: Counter[str] = field(default_factory=Counter[str])
    sequenced: dict[str, Sequenced] = field(default_factory=dict[str, Sequenced])

    def add_invalid(self, record: InvalidRecord) -> None:
        """Count an invalid record, and keep it if it is one of the first."""
        self.invalid_count += 1
        if len(self.invalid) < SINGLE_ENTRIES:
            self.invalid.append(record)

    def quarantine(self) -> list[QuarantineEntry]:
        """Return the entries for quarantine, whose size is linear in the batch's.

        Few invalid records get an entry each, which holds the record with its resource and scope. Many or
        large ones get one entry for the whole batch, as received.
        """
        if self.unreadable:
            return [self._whole_batch(self.unreadable)]
        if self.invalid_count > SINGLE_ENTRIES or _single_bytes(self.invalid) > SINGLE_BYTES:
            first = self.invalid[0]
            count = f"{self.invalid_count} records of the batch are invalid"
            name = _shorten(first.record_id or "without an id")
            return [self._whole_batch(f"{count}, first the record {name}: {first.reason}")]
        return [_record_entry(record) for record in self.invalid]

    def _whole_batch(self, reason: str) -> QuarantineEntry:
        return QuarantineEntry("batch", _shorten(reason), self.batch.encoding, self.batch.payload)


def read_batch(batch: Batch, rules: Rules) -> BatchEntries:
    """Return the entries of a batch.

    Args:
        batch: From a direct sender or a Collector.
        rules: The records to accept.
    """
    entries = BatchEntries(batch)
    if not isinstance(batch.request, ExportLogsServiceRequest):
        entries.unreadable = batch.error or "not an OTLP logs request"
        return entries
    remaining = rules.batch_bytes
    for part in batch.request.resource_logs:
        remaining -= _read_part(part, entries, rules, remaining)
        if remaining < 0:
            entries.unreadable = (
                f"the records with their resources are longer than {rules.batch_bytes} bytes: send smaller"
                " batches, or raise batch_bytes"
            )
            entries.too_long = True
            entries.rows.clear()
            break
    return entries


def _read_part(part: ResourceLogs, entries: BatchEntries, rules: Rules, at_most: int) -> int:
    """Add the entries of the records of one resource; return the length of their leaves.

    The function stops when the length exceeds `at_most`.
    """
    sink_time = entries.batch.received_unix_nano
    try:
        resource = attributes(part.resource.attributes)
        context = _Context(
            rules,
            resource,
            encode({"attributes": resource}),
            sink_time,
            timestamp(sink_time),
            entries.deviations,
            entries.sequenced,
        )
    except RecordError as error:
        for scope, record in _records(part):
            entries.add_invalid(InvalidRecord(part, scope, record, f"resource: {error}"))
        return 0
    add_row = entries.rows.append
    size = 0
    for scope, record in _records(part):
        try:
            row = _row(record, context)
        except RecordError as error:  # noqa: PERF203  one invalid record must not lose the others
            entries.add_invalid(InvalidRecord(part, scope, record, str(error)))
        else:
            add_row(row)
            size += len(row[_LEAF])
            if size > at_most:
                break
    return size


def conflicting(request: ExportLogsServiceRequest, reasons: Mapping[bytes, str]) -> Iterator[InvalidRecord]:
    """Yield the records whose ids are stored with other content.

    The request is searched again: conflicts are rare, and an index of every record would cost each batch.

    Args:
        request: The batch's request.
        reasons: Why a record conflicts, by integrity hash.
    """
    for part in request.resource_logs:
        for scope, record in _records(part):
            reason = reasons.get(_digest(record) or b"")
            if reason is not None:
                yield InvalidRecord(part, scope, record, reason)


def _record_entry(invalid: InvalidRecord) -> QuarantineEntry:
    """Return the quarantine entry of one record: the whole record with its resource and scope."""
    part, scope, record, reason = invalid
    alone = ResourceLogs(
        resource=part.resource,
        scope_logs=[ScopeLogs(scope=scope.scope, log_records=[record], schema_url=scope.schema_url)],
        schema_url=part.schema_url,
    )
    payload = alone.SerializeToString(deterministic=True)
    return QuarantineEntry("record", _shorten(reason), "protobuf", payload, invalid.record_id)


def _single_bytes(invalid: Sequence[InvalidRecord]) -> int:
    """Return about how many bytes the entries have if each record gets one."""
    around: dict[tuple[int, int], int] = {}  # of resource and scope, measured once for all their records
    size = 0
    for part, scope, record, _ in invalid:
        key = id(part), id(scope)
        if key not in around:
            around[key] = part.resource.ByteSize() + scope.scope.ByteSize()
        size += around[key] + record.ByteSize()
    return size


def _shorten(text: str) -> str:
    text = without_nul(text)
    return text if len(text) <= _REASON_CHARACTERS else f"{text[:_REASON_CHARACTERS]}…"


def _digest(record: LogRecord) -> bytes | None:
    try:
        return hashlib.sha256(canonical_form(record)).digest()
    except RecordError:
        return None


class _Context(NamedTuple):
    """The common part of the records of one resource; `encoded` is its canonical form."""

    rules: Rules
    resource: Content
    encoded: bytes
    sink_time: int
    inserted_at: str
    deviations: Counter[str]
    sequenced: dict[str, Sequenced]


def _row(record: LogRecord, context: _Context) -> Row:
    if record.dropped_attributes_count:
        raise RecordError(
            f"{record.dropped_attributes_count} attributes were dropped before the sink: raise the sender's"
            " attribute limit"
        )
    members, integrity = content(record)
    check(members)
    _check_observed(record.observed_time_unix_nano, context)
    canonical = encode(members)
    sink_time = context.sink_time
    status = context.rules.trust.verify(
        SignedRecord(canonical, record), integrity, context.resource, sink_time
    )
    leaf = record_leaf(canonical, integrity, context.encoded, sink_time, status)
    if len(leaf) > context.rules.record_bytes:
        raise RecordError(
            f"the record is {len(leaf)} bytes long with its resource, the limit is"
            f" {context.rules.record_bytes}"
        )
    for name in deviations(members):
        context.deviations[name] += 1
    digest = hashlib.sha256(canonical).digest()
    link = sequenced(members, context.resource, digest)
    if link is not None:
        context.sequenced.setdefault(link.link.record_id, link)
    return (
        *columns(members, context.inserted_at),
        digest,
        leaf.decode(),
        leaf_hash(leaf),
    )


def _check_observed(observed: int, context: _Context) -> None:
    """Reject a record that was observed after the sink received it."""
    ahead = observed - context.sink_time
    if ahead > context.rules.ahead_seconds * 1e9:
        raise RecordError(
            f"observed_time_unix_nano {observed} is {ahead / 1e9:.1f} s ahead of the sink's clock:"
            " synchronize the clocks"
        )


def _records(part: ResourceLogs) -> Iterator[tuple[ScopeLogs, LogRecord]]:
    for scope in part.scope_logs:
        for record in scope.log_records:
            yield scope, record
