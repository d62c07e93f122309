"""Verify producers' chains (`audit.sequence.*`).

The log may hold the records of one stream in another order than their producer created them. A record whose
predecessor is still missing waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.audit.canonical import Content, unwrap
from assay.exporters.audit._errors import ChainError, named, shortened
from assay.semconv import attributes as keys

_PREFIX = "audit.sequence."  # of every attribute of a sequence


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


class Chains:
    """The chains of all streams of a log. Memory grows with the number of streams and of waiting records."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, record: Content, integrity_hash: bytes) -> None:
        """Add the next record of the log; a record without a sequence number is ignored.

        Raises:
            ChainError: The number is invalid or already used, or the record does not continue its chain.
        """
        attributes: dict[str, Content] = record["attributes"]
        if keys.AUDIT_SEQUENCE_NUMBER not in attributes:
            return
        record_id = attributes[keys.AUDIT_RECORD_ID]["stringValue"]
        values = {key: unwrap(value) for key, value in attributes.items() if key.startswith(_PREFIX)}
        number = values[keys.AUDIT_SEQUENCE_NUMBER]
        name = str(values.get(keys.AUDIT_SEQUENCE_STREAM_ID, ""))
        stream = self._streams.setdefault(name, _Stream())
        if type(number) is not int or number < 1:
            raise ChainError(
                f"record {named(record_id)}: number {shortened(number)} in stream {shortened(name)} must be"
                " an integer of 1 or more"
            )
        if number <= stream.number or number in stream.waiting:
            raise ChainError(
                f"record {named(record_id)}: stream {shortened(name)} already has number {number}"
            )
        stream.waiting[number] = _Link(
            record_id,
            integrity_hash.hex(),
            values.get(keys.AUDIT_SEQUENCE_PREVIOUS_HASH),
            values.get(keys.AUDIT_SEQUENCE_PREVIOUS_RECORD_ID),
            values.get(keys.AUDIT_SEQUENCE_END) is True,
        )
        while (link := stream.waiting.pop(stream.number + 1, None)) is not None:
            _continue(name, stream, link)

    def close(self) -> None:
        """Check that no record still waits for its predecessor; call it after the last record.

        Raises:
            ChainError: A stream has a gap.
        """
        for name, stream in self._streams.items():
            if stream.waiting:
                first = min(stream.waiting)
                raise ChainError(
                    f"stream {shortened(name)}: number {stream.number + 1} is missing before record "
                    f"{named(stream.waiting[first].record_id)} (number {first})"
                )


def _continue(name: str, stream: _Stream, link: _Link) -> None:
    before = stream.last
    if before is not None and before.end:
        raise ChainError(
            f"record {named(link.record_id)}: stream {shortened(name)} ended with record"
            f" {named(before.record_id)}"
        )
    if not _is_next(link, before):
        raise ChainError(
            f"record {named(link.record_id)}: it does not continue stream {shortened(name)}: its"
            " previous_hash or previous_record_id is not that of the record before it"
        )
    stream.last = link
    stream.number += 1


def _is_next(link: _Link, before: _Link | None) -> bool:
    """Return whether a record names the record before it; the previous id is optional, the hash is not."""
    if before is None:
        return link.previous_hash is None and link.previous_id is None
    return link.previous_hash == before.integrity_hash and link.previous_id in (None, before.record_id)
