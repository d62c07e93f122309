"""The store of a queue: records that wait to be sent, and sent records that are not confirmed yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from assay.audit._entry import Entry


class Sent(NamedTuple):
    """A record that a Collector has accepted, and that the log has not confirmed yet.

    Args:
        position: Its place in the store.
        record_id: Its id.
        integrity_hash: Its SHA-256, lower-case hexadecimal.
        sent_at: When it was sent last, in seconds since 1970.
        attempts: How often it was sent.
    """

    position: int
    record_id: str
    integrity_hash: str
    sent_at: float
    attempts: int


class Store(Protocol):
    """The records of one process, or of one that has ended. Safe to use from several threads."""

    def __len__(self) -> int:
        """Return the number of records that wait or are not confirmed."""
        ...

    def waiting_count(self) -> int:
        """Return the number of records that wait."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Add records, all or none. A record that is there already, with the same content, is kept once.

        Raises:
            QueueFullError: There is no room.
            ConflictError: The store has another record under one of the ids.
        """
        ...

    def waiting(self, limit: int) -> list[Entry]:
        """Return the oldest records that wait."""
        ...

    def mark_sent(self, record_ids: Iterable[str], now: float) -> None:
        """Note that records were sent at a time, in seconds since 1970."""
        ...

    def sent(self, limit: int, after: int) -> list[Sent]:
        """Return the oldest records that are not confirmed, of those behind a position."""
        ...

    def resend(self, record_ids: Iterable[str]) -> None:
        """Let sent records wait again."""
        ...

    def remove(self, record_ids: Iterable[str]) -> None:
        """Forget records, which are in the log."""
        ...

    def reject(self, record_id: str, reason: str) -> None:
        """Set a record aside, because sending it again cannot help."""
        ...

    def close(self) -> None:
        """Leave the store to the next process. A second call has no effect."""
        ...


class AuditQueue(Protocol):
    """Where records wait. `DiskQueue` and `MemoryQueue` are the ones there are."""

    is_durable: bool
    """Whether a record in a store survives the process."""

    def open(self) -> Store:
        """Return a store for this process.

        Raises:
            QueueError: The queue cannot be used.
        """
        ...

    def abandoned(self) -> Iterator[Store]:
        """Yield the stores of processes that have ended and left records; each is closed afterwards."""
        ...
