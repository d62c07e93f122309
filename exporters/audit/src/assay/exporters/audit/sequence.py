"""Producers' own chains: `audit.sequence.*`, checked where records carry them.

Records of one stream may be stored in another order than they were made; those that are ahead wait here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from assay.audit.canonical import Content, unwrap
from assay.exporters.audit.errors import ChainError

_PREFIX = "audit.sequence."


class _Link(NamedTuple):
    record_id: str
    integrity_hash: str
    previous_hash: str | None
    previous_id: str | None
    end: bool


@dataclass(slots=True)
class _Stream:
    last: _Link | None = None
    number: int = 0
    waiting: dict[int, _Link] = field(default_factory=dict[int, _Link])


class Chains:
    """All streams of a log; what it keeps grows with the streams, not with the records."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, record: Content, integrity_hash: str) -> None:
        """Add a record in the order of the log; one without a sequence is left alone.

        Raises:
            ChainError: It forks its chain, does not follow from the record before, or comes after the end.
        """
        attributes: dict[str, Content] = record["attributes"]
        if _PREFIX + "number" not in attributes:
            return
        record_id = attributes["audit.record.id"]["stringValue"]
        values = {key: unwrap(value) for key, value in attributes.items() if key.startswith(_PREFIX)}
        number = values[_PREFIX + "number"]
        name = str(values.get(_PREFIX + "stream_id", ""))
        stream = self._streams.setdefault(name, _Stream())
        if not isinstance(number, int) or number <= stream.number or number in stream.waiting:
            raise ChainError(
                f"record {record_id}: stream {name!r} has number {number} already, or it is no number"
            )
        stream.waiting[number] = _Link(
            record_id,
            integrity_hash,
            values.get(_PREFIX + "previous_hash"),
            values.get(_PREFIX + "previous_record_id"),
            values.get(_PREFIX + "end") is True,
        )
        while (link := stream.waiting.pop(stream.number + 1, None)) is not None:
            _follow(name, stream, link)

    def close(self) -> None:
        """Say that there are no more records.

        Raises:
            ChainError: A stream has a gap.
        """
        for name, stream in self._streams.items():
            if stream.waiting:
                first = min(stream.waiting)
                raise ChainError(
                    f"stream {name!r}: number {stream.number + 1} is missing before record "
                    f"{stream.waiting[first].record_id} (number {first})"
                )


def _follow(name: str, stream: _Stream, link: _Link) -> None:
    before = stream.last
    if before is not None and before.end:
        raise ChainError(f"record {link.record_id}: stream {name!r} had ended with record {before.record_id}")
    if (link.previous_hash, link.previous_id) not in _predecessors(before):
        raise ChainError(
            f"record {link.record_id}: it does not follow the record before it in stream {name!r}"
        )
    stream.last = link
    stream.number += 1


def _predecessors(before: _Link | None) -> set[tuple[str | None, str | None]]:
    """Return what a record may say of the one before; the id is optional, the hash is not."""
    if before is None:
        return {(None, None)}
    return {(before.integrity_hash, None), (before.integrity_hash, before.record_id)}
