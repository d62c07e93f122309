"""Producers' own chains: `audit.sequence.*`, checked where records carry them.

Records of one stream may be stored in another order than they were made; those that are ahead wait here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.audit.canonical import Content, unwrap
from assay.exporters.audit.errors import ChainError

_PREFIX = "audit.sequence."


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
    """All streams of a log; what it keeps grows with the streams, and with the records that are ahead."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, record: Content, integrity_hash: bytes) -> None:
        """Add a record in the order of the log; one without a sequence is left alone.

        Raises:
            ChainError: It has no number, forks its chain, does not follow from the record before, or comes
                after the end.
        """
        attributes: dict[str, Content] = record["attributes"]
        if _PREFIX + "number" not in attributes:
            return
        record_id = attributes["audit.record.id"]["stringValue"]
        values = {key: unwrap(value) for key, value in attributes.items() if key.startswith(_PREFIX)}
        number = values[_PREFIX + "number"]
        name = str(values.get(_PREFIX + "stream_id", ""))
        stream = self._streams.setdefault(name, _Stream())
        if type(number) is not int or number < 1:
            raise ChainError(f"record {record_id}: number {number!r} in stream {name!r} is no integer from 1")
        if number <= stream.number or number in stream.waiting:
            raise ChainError(f"record {record_id}: stream {name!r} has number {number} already")
        stream.waiting[number] = _Link(
            record_id,
            integrity_hash.hex(),
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
    if not _is_next(link, before):
        raise ChainError(
            f"record {link.record_id}: it does not follow the record before it in stream {name!r}"
        )
    stream.last = link
    stream.number += 1


def _is_next(link: _Link, before: _Link | None) -> bool:
    """Tell whether a record says the right thing of the one before; the id is optional, the hash is not."""
    if before is None:
        return link.previous_hash is None and link.previous_id is None
    return link.previous_hash == before.integrity_hash and link.previous_id in (None, before.record_id)
