"""Compare the ids of an index with those of the rows, without holding either in memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

from assay.exporters.audit._ids import Key

_PRIME = 2**255 - 19
_UUID_BYTES, _UUID_BITS = 16, 128
_OTHER = 1 << 254  # the root of a UUID is below 2^191, also if its leaf index is negative
_WAITING = 1024


class IdProduct:
    """A product over ids and their leaf indexes, in any order, which compares the index with the rows.

    It is the value of the polynomial whose roots are the ids with their indexes, at a secret point. Two
    different sets of n ids have the same value at about n of 2^255 points, and nobody knows the point before.

    Args:
        point: The point, from `random_point`; the same for all parts of a set.
    """

    def __init__(self, point: int) -> None:
        self._point = point
        self._value = 1
        self._waiting: list[tuple[Key, int]] = []  # multiplied many at a time, which is twice as fast

    @property
    def value(self) -> int:
        """The product of all ids."""
        self._multiply(self._waiting)
        self._waiting.clear()
        return self._value

    def add(self, record_id: Key, index: int) -> None:
        """Add an id, from `key_of`, and its leaf index."""
        self._waiting.append((record_id, index))
        if len(self._waiting) == _WAITING:
            self._multiply(self._waiting)
            self._waiting.clear()

    def add_all(self, ids: Iterable[tuple[Key, int]]) -> None:
        """Add ids and their leaf indexes from an index; if it is forged, they may have other types."""
        self._multiply(ids)

    def merge(self, value: int) -> None:
        """Add the ids of another product at the same point."""
        self._value = self._value * value % _PRIME

    def _multiply(self, ids: Iterable[tuple[Key, int]]) -> None:
        point, value, number = self._point, self._value, int.from_bytes
        for record_id, index in ids:
            if isinstance(record_id, bytes) and len(record_id) == _UUID_BYTES and index.__class__ is int:
                root = number(record_id, "big") + (index << _UUID_BITS)
            else:
                root = _other_root(record_id, index)
            value = value * (point - root) % _PRIME
        self._value = value


def _other_root(record_id: object, index: object) -> int:
    """Return the root of an id that is not a UUID, or of a forged one: no UUID has such a large number."""
    digest = hashlib.sha256(repr((record_id, index)).encode()).digest()
    return int.from_bytes(digest, "big") >> 8 | _OTHER


def random_point() -> int:
    """Return a secret point for the products of one verification."""
    return secrets.randbelow(_PRIME)
