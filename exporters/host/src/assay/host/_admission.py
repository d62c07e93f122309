"""Admit requests: bound those that are being read or parsed, and their bytes.

Each bound holds for a listener and, at half of it, for each of its senders, so that neither a listener nor a
sender can take the room of another. Audit requests have bounds of their own, which no telemetry can exhaust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from assay.host._refusal import Refusal
from assay.host._settings import LimitSettings


class _Group(NamedTuple):
    """Requests that share a bound: those of a listener, or, with a sender, of one sender."""

    audit: bool
    listener: str
    sender: str = ""


class Reservation:
    """The share of the bytes that one request holds while it is read and parsed."""

    def __init__(self, admission: Admission, group: _Group) -> None:
        self._admission = admission
        self._group = group
        self._bytes = 0

    def grow(self, size: int) -> None:
        """Reserve `size` more bytes.

        Raises:
            Refusal: 429: the limit is reached.
        """
        self._admission.reserve(self._group, size)
        self._bytes += size

    def release(self) -> None:
        """Release all reserved bytes."""
        self._admission.release(self._group, self._bytes)
        self._bytes = 0


class Admission:
    """The requests that are being read or parsed. Used on the event loop only.

    Args:
        limits: `concurrent_requests` holds for a listener, `buffered_bytes` for all listeners together.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._requests: Counter[_Group] = Counter()
        self._bytes: Counter[_Group | bool] = Counter()  # of a sender, or of all audit or other requests

    @property
    def buffered(self) -> int:
        """Bytes of all bodies that are being read or parsed."""
        return self._bytes[True] + self._bytes[False]

    @contextmanager
    def admit(self, *, audit: bool, listener: str, sender: str) -> Generator[Reservation]:
        """Count a request until the block is left, and yield its reservation of bytes.

        Args:
            audit: Whether it is an audit request.
            listener: The listener's name.
            sender: Identifies the sender.

        Raises:
            Refusal: 429: too many requests are in progress.
        """
        everyone, one = _Group(audit, listener), _Group(audit, listener, sender)
        at_most = self._limits.concurrent_requests
        if self._requests[everyone] >= at_most or self._requests[one] >= _half(at_most):
            raise Refusal(429, "too many requests are in progress (limits.concurrent_requests): send later")
        for group in (everyone, one):
            self._requests[group] += 1
        reservation = Reservation(self, one)
        try:
            yield reservation
        finally:
            for group in (everyone, one):
                self._requests[group] -= 1
                if not self._requests[group]:
                    del self._requests[group]
            reservation.release()

    def reserve(self, group: _Group, size: int) -> None:
        """Reserve bytes for a sender's request.

        Raises:
            Refusal: 429: all requests of the kind, or this sender's, hold as many bytes as they may.
        """
        at_most = self._limits.buffered_bytes
        share = max(_half(at_most), 2 * self._limits.body_bytes)  # a gzip body reserves up to two bodies
        if self._bytes[group.audit] + size > at_most or self._bytes[group] + size > share:
            raise Refusal(
                429, "the host holds as many bytes as it may (limits.buffered_bytes): send again later"
            )
        self._bytes[group.audit] += size
        self._bytes[group] += size

    def release(self, group: _Group, size: int) -> None:
        """Release reserved bytes."""
        self._bytes[group.audit] -= size
        self._bytes[group] -= size
        if not self._bytes[group]:
            del self._bytes[group]


def _half(limit: int) -> int:
    return (limit + 1) // 2
