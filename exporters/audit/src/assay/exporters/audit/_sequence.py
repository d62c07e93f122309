"""Check producers' chains (`audit.sequence.*`), and report each chain that is broken.

A chain says what a producer claims; the log's integrity does not depend on it. A broken chain is therefore a
finding beside the verification of the log, and never stops it. The log may hold the records of one stream in
another order than their producer created them: a record whose predecessor is still missing waits for it.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.audit.canonical import Content, encode, unwrap
from assay.exporters.audit._errors import named, shortened
from assay.semconv import attributes as keys

_PREFIX = "audit.sequence."  # of every attribute of a sequence
_EMPTY = hashlib.sha256().hexdigest()  # the first record may have it as its previous hash
_LONGEST_REFERENCE = 128  # characters of a hash or id
_LONGEST_NAME = 256  # characters of the name of a stream; a longer one is known by its hash
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


class Link(NamedTuple):
    """A record of a stream, and what it says about the record before it.

    A previous hash or id that cannot be one is an empty text, which equals none.
    """

    record_id: str
    integrity_hash: str
    previous_hash: str | None
    previous_id: str | None
    end: bool


class Sequenced(NamedTuple):
    """A record with a sequence number.

    Args:
        stream: Its stream id, else its `service.instance.id`, else its resource.
        number: Its number, which must be an integer of 1 or more.
        link: Its place in the chain.
    """

    stream: str
    number: object
    link: Link

    def valid_number(self) -> int | None:
        """Return the number if it is an integer of 1 or more."""
        return self.number if type(self.number) is int and self.number >= 1 else None

    def number_fault(self) -> str:
        """Return what is wrong with an invalid number."""
        return (
            f"record {named(self.link.record_id)} has number {shortened(self.number)}, which must be an"
            " integer of 1 or more"
        )


def sequenced(record: Content, resource: Content, integrity_hash: bytes) -> Sequenced | None:
    """Return the place of a record in its producer's chain, None if it has no sequence number.

    Args:
        record: Content of the record.
        resource: Attributes of its resource.
        integrity_hash: SHA-256 of its canonical form.
    """
    attributes: dict[str, Content] = record["attributes"]
    if keys.AUDIT_SEQUENCE_NUMBER not in attributes:
        return None
    values = {key: unwrap(value) for key, value in attributes.items() if key.startswith(_PREFIX)}
    link = Link(
        attributes[keys.AUDIT_RECORD_ID]["stringValue"],
        integrity_hash.hex(),
        _reference(values.get(keys.AUDIT_SEQUENCE_PREVIOUS_HASH)),
        _reference(values.get(keys.AUDIT_SEQUENCE_PREVIOUS_RECORD_ID)),
        values.get(keys.AUDIT_SEQUENCE_END) is True,
    )
    return Sequenced(_name(values, resource), values[keys.AUDIT_SEQUENCE_NUMBER], link)


def _reference(value: object) -> str | None:
    """Return a hash or id of a previous record, empty if it cannot be one: a link stays small."""
    if value is None:
        return None
    return value if isinstance(value, str) and len(value) <= _LONGEST_REFERENCE else ""


@dataclass(slots=True)
class _Stream:
    last: Link | None = None
    number: int = 0
    waiting: dict[int, Link] = field(default_factory=dict[int, Link])
    reason: str = ""
    faults: int = 0

    def report(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.faults += 1


class Run(NamedTuple):
    """Records of one stream that follow each other without a fault, by the first and the last of them."""

    first: Sequenced
    last: Sequenced


class Links:
    """The links in a part of a log."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Sequenced]] = {}

    def add(self, record: Content, resource: Content, integrity_hash: bytes) -> None:
        """Add the next record of the log; a record without a sequence number is ignored."""
        found = sequenced(record, resource.get("attributes", {}), integrity_hash)
        if found is not None:
            self._streams.setdefault(found.stream, []).append(found)

    def streams(self) -> list[Run | list[Sequenced]]:
        """Return for each stream its run, or its records in their order if they are not one run."""
        return [Run(found[0], found[-1]) if _is_run(found) else found for found in self._streams.values()]


def _is_run(records: list[Sequenced]) -> bool:
    return records[0].valid_number() is not None and all(
        (after.valid_number() or 0) - (before.valid_number() or 0) == 1
        and is_next(after.link, before.link)
        and not before.link.end
        for before, after in itertools.pairwise(records)
    )


class Chains:
    """The chains of all streams of a log. Memory grows with the number of streams."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, record: Content, resource: Content, integrity_hash: bytes) -> None:
        """Add the next record of the log; a record without a sequence number is ignored."""
        found = sequenced(record, resource.get("attributes", {}), integrity_hash)
        if found is not None:
            self._add(found)

    def extend(self, streams: list[Run | list[Sequenced]]) -> bool:
        """Add the records of the next part of the log, from `Links.streams`.

        Returns:
            Whether they were added. If not, the records must be added one by one: a run does not continue
            its stream, so its inner records matter.
        """
        if not all(self._continues(each) for each in streams if isinstance(each, Run)):
            return False
        for each in streams:
            for found in each[:1] if isinstance(each, Run) else each:
                self._add(found)
            if isinstance(each, Run):
                self._skip_to(each.last)
        return True

    def _continues(self, run: Run) -> bool:
        stream = self._streams.get(run.first.stream, _Stream())
        number, last = run.first.valid_number(), run.last.valid_number()
        if number is None or last is None:
            return False
        return number == stream.number + 1 and not any(number <= each <= last for each in stream.waiting)

    def _skip_to(self, last: Sequenced) -> None:
        """Continue a stream after the last record of a run whose first record was just added."""
        stream, number = self._streams[last.stream], last.valid_number()
        if number is not None and number > stream.number:
            stream.last, stream.number = last.link, number
            _advance(stream)

    def _add(self, found: Sequenced) -> None:
        stream = self._streams.setdefault(found.stream, _Stream())
        number, link = found.valid_number(), found.link
        if number is None:
            stream.report(found.number_fault())
            return
        if number <= stream.number or number in stream.waiting:
            stream.report(f"record {named(link.record_id)}: the stream already has number {number}")
            return
        stream.waiting[number] = link
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


def _name(values: Content, attributes: Content) -> str:
    """Return the stream that a record belongs to.

    Without a stream id it is the producer's instance: two instances number their records independently.
    """
    stream = values.get(keys.AUDIT_SEQUENCE_STREAM_ID)
    if not isinstance(stream, str) or not stream:
        stream = unwrap(attributes.get(keys.SERVICE_INSTANCE_ID, {}))
    if not isinstance(stream, str) or not stream:
        stream = encode(attributes).decode()
    return stream if len(stream) <= _LONGEST_NAME else f"sha256:{_sha256(stream)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _advance(stream: _Stream) -> None:
    """Continue the chain with the records that wait for nothing any more."""
    while (link := stream.waiting.pop(stream.number + 1, None)) is not None:
        before = stream.last
        if before is not None and before.end:
            stream.report(
                f"record {named(link.record_id)}: the stream ended with record {named(before.record_id)}"
            )
        elif not is_next(link, before):
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


def is_next(link: Link, before: Link | None) -> bool:
    """Return whether a record names the record before it; the previous id is optional, the hash is not."""
    if before is None:
        return link.previous_hash in (None, _EMPTY) and link.previous_id is None
    return link.previous_hash == before.integrity_hash and link.previous_id in (None, before.record_id)
