"""The index of record ids: it makes an id unique, and finds its leaf.

Ids are random, so each insertion into a large B-tree changes another page. New ids therefore go into
`recent_ids`, which is small, and are merged into `ids` many at a time and in their order: then a page of the
large tree is written once for many ids, and the cost of an id hardly grows with the log.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator

Key = bytes | str
KeyRange = tuple[bytes | None, bytes | None]
"""Keys from the first bytes, inclusive, to the second ones, exclusive; None is the end of all keys."""

ALL_KEYS: KeyRange = (None, None)

MERGE = 1 << 17  # recent ids at which they are merged: they take about 4 MB
_GROWS = 1 << 20  # entries; in a larger log, the number grows with the square root of its size
_PRIME = 2**255 - 19
_UUID_BYTES, _UUID_BITS = 16, 128
_OTHER = 1 << 254  # the root of a UUID is below 2^191, also if its leaf index is negative
_WAITING = 1024
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_STAGING = "CREATE TEMP TABLE staged_ids (id ANY PRIMARY KEY, leaf_index INTEGER) STRICT, WITHOUT ROWID"
_STAGE = "INSERT INTO staged_ids VALUES (?, ?)"
_KNOWN = "SELECT 1 FROM staged_ids CROSS JOIN ids USING (id) LIMIT 1"
_ADD = "INSERT INTO main.recent_ids SELECT id, leaf_index FROM staged_ids"
_NEWEST = "SELECT max(leaf_index) FROM main.audit_log"
_MERGE = "INSERT INTO main.ids SELECT id, leaf_index FROM main.recent_ids"
COUNT = "SELECT (SELECT count(*) FROM ids) + (SELECT count(*) FROM recent_ids)"
_FIND = """SELECT leaf_index FROM recent_ids WHERE id = ?1
           UNION ALL SELECT leaf_index FROM ids WHERE id = ?1"""


def key_of(record_id: str) -> Key:
    """Return the key of a record id: 16 bytes for a UUID in lower case, else the id itself."""
    return bytes.fromhex(record_id.replace("-", "")) if _UUID(record_id) else record_id


def find(connection: sqlite3.Connection, record_id: str) -> int | None:
    """Return the leaf index of a record, None if the log does not contain the record."""
    found = connection.execute(_FIND, (key_of(record_id),)).fetchone()
    return None if found is None else found[0]


class IdIndex:
    """The index for the log's writer.

    Args:
        connection: Its connection; the index adds a temporary table.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(_STAGING)
        self.reload()

    def reload(self) -> None:
        """Count the recent ids again: after a transaction was rolled back."""
        self._recent: int = self._connection.execute("SELECT count(*) FROM main.recent_ids").fetchone()[0]

    def add(self, leaves: Iterable[tuple[str, int]]) -> None:
        """Add record ids and their leaf indexes; call it within a transaction.

        Raises:
            sqlite3.IntegrityError: An id is in the index, or twice in `leaves`.
        """
        execute = self._connection.execute
        staged = self._connection.executemany(
            _STAGE, ((key_of(record_id), index) for record_id, index in leaves)
        )
        if execute(_KNOWN).fetchone() is not None:
            raise sqlite3.IntegrityError("a record id is already in the log")
        execute(_ADD)
        execute("DELETE FROM staged_ids")
        self._recent += staged.rowcount
        if self._recent >= MERGE and self._recent >= self._best():
            execute(_MERGE)
            execute("DELETE FROM main.recent_ids")
            self._recent = 0

    def _best(self) -> float:
        """Return the number of recent ids at which a merge costs least.

        A merge writes every page of the large tree, so it should be rare in a large log. But a batch writes
        every page of the recent ids, so they should be few.
        """
        newest: int = self._connection.execute(_NEWEST).fetchone()[0] or 0
        return MERGE * math.sqrt(max(1.0, newest / _GROWS))


def parts(number: int) -> Iterator[KeyRange]:
    """Yield key ranges that together are all keys; random ids are in all of them alike.

    Args:
        number: A power of two, at most 256.
    """
    bounds = [bytes([each * 256 // number]) for each in range(1, number)]
    return itertools.pairwise([None, *bounds, None])


def within(column: str, keys: KeyRange) -> tuple[str, list[bytes]]:
    """Return the condition that a column is in a key range, to be added to others, and its parameters."""
    operators = (f" AND {column} >= ?", f" AND {column} < ?")
    given = [(each, bound) for each, bound in zip(operators, keys, strict=True) if bound is not None]
    return "".join(each for each, _ in given), [bound for _, bound in given]


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
