"""A queue in memory. The records that wait in it are lost when the process is killed."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from assay.audit._entry import Entry
from assay.audit._store import Sent, Store
from assay.audit.errors import ConflictError

HIGH_WATER = 2048
"""Records that wait, above which a warning is logged."""

_logger = logging.getLogger("assay.audit")


class MemoryQueue:
    """A queue in memory, without a limit.

    Args:
        high_water: How many records may wait before a warning is logged.
    """

    is_durable = False

    def __init__(self, high_water: int = HIGH_WATER) -> None:
        self._high_water = high_water

    def open(self) -> Store:
        """Return an empty store."""
        return _MemoryStore(self._high_water)

    def abandoned(self) -> Iterator[Store]:
        """Yield nothing: the records of a process that ended are gone."""
        return iter(())


@dataclass(slots=True)
class _Row:
    position: int
    entry: Entry
    sent_at: float = 0.0
    attempts: int = 0


class _MemoryStore:
    def __init__(self, high_water: int) -> None:
        self._high_water = high_water
        self._lock = threading.Lock()
        self._positions = itertools.count(1)
        self._waiting: dict[str, _Row] = {}
        self._sent: dict[str, _Row] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    def waiting_count(self) -> int:
        return len(self._waiting)

    def append(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            before = len(self._waiting)
            for entry in entries:
                self._add(entry)
        if before <= self._high_water < len(self._waiting):
            _logger.warning(
                "%d audit records wait in memory, and are lost if the process is killed: check that the audit"
                " endpoint accepts records, or use a queue on disk",
                len(self._waiting),
            )

    def waiting(self, limit: int) -> list[Entry]:
        with self._lock:
            return [row.entry for row in itertools.islice(self._waiting.values(), limit)]

    def mark_sent(self, record_ids: Iterable[str], now: float) -> None:
        with self._lock:
            for record_id in record_ids:
                row = self._sent[record_id] = self._waiting.pop(record_id)
                row.position, row.sent_at, row.attempts = next(self._positions), now, row.attempts + 1

    def sent(self, limit: int, after: int) -> list[Sent]:
        with self._lock:
            rows = [row for row in self._sent.values() if row.position > after]
        return [_sent(row) for row in rows[:limit]]

    def resend(self, record_ids: Iterable[str]) -> None:
        with self._lock:
            for record_id in record_ids:
                self._waiting[record_id] = self._sent.pop(record_id)

    def remove(self, record_ids: Iterable[str]) -> None:
        with self._lock:
            for record_id in record_ids:
                self._waiting.pop(record_id, None)
                self._sent.pop(record_id, None)

    def reject(self, record_id: str, reason: str) -> None:
        del reason
        self.remove([record_id])

    def close(self) -> None:
        with self._lock:
            self._waiting, self._sent = {}, {}

    def _add(self, entry: Entry) -> None:
        receipt = entry.receipt
        known = self._waiting.get(receipt.record_id) or self._sent.get(receipt.record_id)
        if known is None:
            self._waiting[receipt.record_id] = _Row(next(self._positions), entry)
        elif known.entry.receipt.integrity_hash != receipt.integrity_hash:
            raise ConflictError(f"another audit record with the id {receipt.record_id} waits already")


def _sent(row: _Row) -> Sent:
    receipt = row.entry.receipt
    return Sent(row.position, receipt.record_id, receipt.integrity_hash, row.sent_at, row.attempts)
