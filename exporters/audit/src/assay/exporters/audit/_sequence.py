"""Check producers' chains (`audit.sequence.*`), and report each chain that is broken.

A chain says what a producer claims; the log's integrity does not depend on it. A broken chain is therefore a
finding beside the verification of the log, and never stops it. The log may hold the records of one stream in
another order than their producer created them: a record whose predecessor is still missing waits for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.audit.canonical import Content, encode, unwrap
from assay.exporters.audit._errors import named, shortened
from assay.semconv import attributes as keys

_PREFIX = "audit.sequence."  # of every attribute of a sequence
_EMPTY = hashlib.sha256().hexdigest()  # the first record may have it as its previous hash
WAITING = 10_000  # records of one stream that wait; beyond it, the missing record is reported


@dataclass(frozen=True, slots=True)
class ChainFault:
    """A producer's chain that is broken.

    Args:
        stream: Its stream id, else its `service.instance.id`, else its resource.
        reason: The first fault; it names the record.
        faults: Number of its faults.
    """

    stream: str
    reason: str
    faults: int

    def __str__(self) -> str:
        more = f" ({self.faults - 1} more)" if self.faults > 1 else ""
        return f"stream {shortened(self.stream)}: {self.reason}{more}"


class _Link(NamedTuple):
    record_id: str
    integrity_hash: str
    previous_hash: Any
    previous_id: Any
    end: bool


@dataclass(slots=True)
class _Stream:
    last: _Link | None = None
    number: int = 0
    waiting: dict[int, _Link] = field(default_factory=dict[int, _Link])
    reason: str = ""
    faults: int = 0

    def report(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.faults += 1


class Chains:
    """The chains of all streams of a log. Memory grows with the number of streams."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, record: Content, resource: Content, integrity_hash: bytes) -> None:
        """Add the next record of the log; a record without a sequence number is ignored."""
        attributes: dict[str, Content] = record["attributes"]
        if keys.AUDIT_SEQUENCE_NUMBER not in attributes:
            return
        record_id = attributes[keys.AUDIT_RECORD_ID]["stringValue"]
        values = {key: unwrap(value) for key, value in attributes.items() if key.startswith(_PREFIX)}
        number = values[keys.AUDIT_SEQUENCE_NUMBER]
        stream = self._streams.setdefault(_name(values, resource), _Stream())
        if type(number) is not int or number < 1:
            stream.report(
                f"record {named(record_id)} has number {shortened(number)}, which must be an integer of 1 or"
                " more"
            )
            return
        if number <= stream.number or number in stream.waiting:
            stream.report(f"record {named(record_id)}: the stream already has number {number}")
            return
        stream.waiting[number] = _Link(
            record_id,
            integrity_hash.hex(),
            values.get(keys.AUDIT_SEQUENCE_PREVIOUS_HASH),
            values.get(keys.AUDIT_SEQUENCE_PREVIOUS_RECORD_ID),
            values.get(keys.AUDIT_SEQUENCE_END) is True,
        )
        _advance(stream)
        if len(stream.waiting) > WAITING:
            _drain(stream)

    def faults(self) -> tuple[ChainFault, ...]:
        """Return the broken chains; call it after the last record."""
        for stream in self._streams.values():
            _drain(stream)
        return tuple(
            ChainFault(name, stream.reason, stream.faults)
            for name, stream in self._streams.items()
            if stream.faults
        )


def _name(values: Content, resource: Content) -> str:
    """Return the stream that a record belongs to.

    Without a stream id it is the producer's instance: two instances number their records independently.
    """
    stream = values.get(keys.AUDIT_SEQUENCE_STREAM_ID)
    if isinstance(stream, str) and stream:
        return stream
    attributes: dict[str, Content] = resource.get("attributes", {})
    instance = unwrap(attributes.get(keys.SERVICE_INSTANCE_ID, {}))
    return instance if isinstance(instance, str) and instance else encode(attributes).decode()


def _advance(stream: _Stream) -> None:
    """Continue the chain with the records that wait for nothing any more."""
    while (link := stream.waiting.pop(stream.number + 1, None)) is not None:
        before = stream.last
        if before is not None and before.end:
            stream.report(
                f"record {named(link.record_id)}: the stream ended with record {named(before.record_id)}"
            )
        elif not _is_next(link, before):
            stream.report(
                f"record {named(link.record_id)} does not continue the stream: its previous_hash or"
                " previous_record_id is not that of the record before it"
            )
        stream.last = link
        stream.number += 1


def _drain(stream: _Stream) -> None:
    """Report the missing records before those that wait, and continue behind each gap."""
    for number in sorted(stream.waiting):
        link = stream.waiting.pop(number, None)
        if link is not None:
            stream.report(
                f"number {stream.number + 1} is missing before record {named(link.record_id)} ({number})"
            )
            stream.last, stream.number = link, number
            _advance(stream)


def _is_next(link: _Link, before: _Link | None) -> bool:
    """Return whether a record names the record before it; the previous id is optional, the hash is not."""
    if before is None:
        return link.previous_hash in (None, _EMPTY) and link.previous_id is None
    return link.previous_hash == before.integrity_hash and link.previous_id in (None, before.record_id)
