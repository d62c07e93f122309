"""The index of record ids: it makes an id unique, and finds its leaf.

Ids are random, so each insertion into a large B-tree changes another page. New ids therefore go into
`recent_ids`, which is small, and are merged into `ids` many at a time and in their order: then a page of the
large tree is written once for many ids, and the cost of an id hardly grows with the log.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterable

Key = bytes | str

MERGE = 1 << 17  # recent ids at which they are merged: they take about 4 MB
_SALT = secrets.token_bytes(16)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_STAGING = "CREATE TEMP TABLE staged_ids (id ANY PRIMARY KEY, leaf_index INTEGER) STRICT, WITHOUT ROWID"
_STAGE = "INSERT INTO staged_ids VALUES (?, ?)"
_KNOWN = "SELECT 1 FROM staged_ids CROSS JOIN ids USING (id) LIMIT 1"
_ADD = "INSERT INTO main.recent_ids SELECT id, leaf_index FROM staged_ids"
_MERGE = "INSERT INTO main.ids SELECT id, leaf_index FROM main.recent_ids"
ALL = """SELECT id, leaf_index FROM recent_ids WHERE leaf_index >= ?1
          UNION ALL SELECT id, leaf_index FROM ids WHERE leaf_index >= ?1"""
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
        if self._recent >= MERGE:
            execute(_MERGE)
            execute("DELETE FROM main.recent_ids")
            self._recent = 0


class IdSum:
    """A sum over ids and their leaf indexes, in any order, which compares the index with the rows.

    The sums of one process have a secret salt, so nobody can prepare other ids with the same sum. Python's
    hash of bytes (SipHash) has a key in each process too, but `PYTHONHASHSEED` can set it.
    """

    def __init__(self) -> None:
        self.value = 0

    def add(self, record_id: Key, index: int) -> None:
        """Add an id, from `key_of`, and its leaf index; a forged index may have values of other types."""
        if record_id.__class__ is bytes and index.__class__ is int and 0 <= index < 1 << 64:
            entry = b"\0%b%b" % (record_id, index.to_bytes(8, "big"))
        else:
            entry = repr((record_id, index)).encode()  # does not begin with NUL
        self.value += hash(_SALT + entry)

    @classmethod
    def of(cls, ids: Iterable[tuple[Key, int]]) -> IdSum:
        """Return the sum over ids and their leaf indexes, as an index has them."""
        found = cls()
        for record_id, index in ids:
            found.add(record_id, index)
        return found
