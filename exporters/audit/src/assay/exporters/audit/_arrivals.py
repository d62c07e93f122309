"""Check producers' chains when their records arrive, so that a gap or a fork is known at once.

A record of a broken chain is stored like any other. `_sequence` recomputes every chain from the log; this
state is bounded instead: of streams that were forgotten, and of records before the newest ones at the start,
it reports nothing.

Records of one stream may arrive in another order than their producer created them. A record whose predecessor
is missing therefore waits, and the gap is reported when it has waited long enough.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from assay.exporters.audit._errors import named, shortened
from assay.exporters.audit._sequence import Link, Sequenced, is_next

Kind = Literal["gap", "fork", "after_end", "mismatch", "number"]
STREAMS = 10_000  # whose state is kept
WAITING = 50_000  # records that wait, of all streams together
_GAPS = 100  # of one stream, whose records may still arrive


class ArrivalFault(NamedTuple):
    """A fault of a chain.

    Args:
        kind: `gap`: records are missing; `fork`: a number occurs twice; `after_end`: a record follows the
            last one of a clean close; `mismatch`: a record does not name the one before it; `number`: a
            number is not an integer of 1 or more.
        stream: The stream.
        reason: What is wrong; it names the record.
    """

    kind: Kind
    stream: str
    reason: str

    def __str__(self) -> str:
        return f"stream {shortened(self.stream)}: {self.reason}"


class _Waiting(NamedTuple):
    link: Link
    since: int  # ns since 1970


@dataclass(slots=True)
class _Stream:
    name: str
    first: int  # number from which the stream is known
    number: int  # of the last record in its order
    last: Link | None = None
    waiting: dict[int, _Waiting] = field(default_factory=dict[int, _Waiting])
    gaps: list[range] = field(default_factory=list[range])


class Arrivals:
    """The newest state of the producers' chains. Safe to use from several threads.

    Args:
        patience: Seconds that a record waits for its predecessor.
    """

    def __init__(self, patience: float) -> None:
        self._patience = int(patience * 1e9)
        self._mutex = threading.Lock()
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._with_waiting: dict[str, _Stream] = {}
        self._waiting = 0
        self._is_complete = True  # no stream was forgotten

    def restore(self, records: Iterable[tuple[Sequenced, int]], now: int, *, whole_log: bool) -> None:
        """Read the newest records of the log. Faults that are older than a record may wait are not reported.

        Args:
            records: The records in the order of the log, each with its time of arrival in ns since 1970.
            now: The time, in ns since 1970.
            whole_log: Whether the log has no older records.
        """
        self._is_complete = whole_log
        for record, since in records:
            self.add(record, since)
        self.overdue(now)

    def add(self, record: Sequenced, now: int) -> list[ArrivalFault]:
        """Add a record that was stored; return the faults that it reveals.

        Args:
            record: The record.
            now: Its time of arrival, in ns since 1970.
        """
        with self._mutex:
            number = record.valid_number()
            if number is None:
                return [ArrivalFault("number", record.stream, record.number_fault())]
            stream = self._stream(record.stream, number)
            if number <= stream.number or number in stream.waiting:
                return _repeated(stream, number, record.link)
            stream.waiting[number] = _Waiting(record.link, now)
            self._waiting += 1
            found = self._advance(stream)
            if self._waiting > WAITING:
                found += self._drain(stream, max(stream.waiting, default=0))
            return found + self._forget()

    def overdue(self, now: int) -> list[ArrivalFault]:
        """Return the gaps before records that have waited long enough.

        Args:
            now: The time, in ns since 1970.
        """
        with self._mutex:
            found: list[ArrivalFault] = []
            for stream in list(self._with_waiting.values()):
                overdue = [n for n, entry in stream.waiting.items() if now - entry.since >= self._patience]
                if overdue:
                    found += self._drain(stream, max(overdue))
            return found

    def _stream(self, name: str, number: int) -> _Stream:
        """Return a stream. An unknown one starts with 1, or, if streams may be forgotten, with its record."""
        stream = self._streams.get(name)
        if stream is None:
            first = 1 if self._is_complete else number
            stream = self._streams[name] = _Stream(name, first, first - 1)
        self._streams.move_to_end(name)
        return stream

    def _advance(self, stream: _Stream) -> list[ArrivalFault]:
        """Continue a chain with the records that wait for nothing any more."""
        found: list[ArrivalFault] = []
        while (entry := stream.waiting.pop(stream.number + 1, None)) is not None:
            self._waiting -= 1
            found += _check_next(stream, entry.link)
            stream.last = entry.link
            stream.number += 1
        if stream.waiting:
            self._with_waiting[stream.name] = stream
        else:
            self._with_waiting.pop(stream.name, None)
        return found

    def _drain(self, stream: _Stream, last: int) -> list[ArrivalFault]:
        """Report the gaps before the records that wait, up to a number, and continue behind each."""
        found: list[ArrivalFault] = []
        for number in sorted(each for each in stream.waiting if each <= last):
            if number in stream.waiting:  # not continued with the one before
                missing, link = range(stream.number + 1, number), stream.waiting[number].link
                stream.gaps = [*stream.gaps[-_GAPS + 1 :], missing]
                stream.last, stream.number = None, number - 1
                reason = f"number {missing.start} is missing before record {named(link.record_id)} ({number})"
                found += [ArrivalFault("gap", stream.name, reason), *self._advance(stream)]
        return found

    def _forget(self) -> list[ArrivalFault]:
        """Forget the stream that was not used for the longest time if there are too many."""
        found: list[ArrivalFault] = []
        if len(self._streams) > STREAMS:
            self._is_complete = False
            _, stream = self._streams.popitem(last=False)
            found = self._drain(stream, max(stream.waiting, default=0))
        return found


def _repeated(stream: _Stream, number: int, link: Link) -> list[ArrivalFault]:
    """Return the fault of a record whose number is not a new one: none if the record was missing so far."""
    if number < stream.first:
        return []
    for index, missing in enumerate(stream.gaps):
        if number in missing:
            rest = range(missing.start, number), range(number + 1, missing.stop)
            stream.gaps[index : index + 1] = [each for each in rest if each]
            return []
    reason = f"record {named(link.record_id)}: the stream already has number {number}"
    return [ArrivalFault("fork", stream.name, reason)]


def _check_next(stream: _Stream, link: Link) -> list[ArrivalFault]:
    before = stream.last
    if before is None and stream.number:  # the record before it is not known
        return []
    if before is not None and before.end:
        reason = f"record {named(link.record_id)}: the stream ended with record {named(before.record_id)}"
        return [ArrivalFault("after_end", stream.name, reason)]
    if not is_next(link, before):
        reason = (
            f"record {named(link.record_id)} does not continue the stream: its previous_hash or"
            " previous_record_id is not that of the record before it"
        )
        return [ArrivalFault("mismatch", stream.name, reason)]
    return []
