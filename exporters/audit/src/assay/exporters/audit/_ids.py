"""The index of record ids: it makes an id unique, and finds its leaf.

Ids are random, so each insertion into a large B-tree changes another page. New ids therefore go into
`recent_ids`, which is small. Many at a time, they become a run of `ids`, in their order, and a few runs
become a longer one: pages are written one after the other, so the cost of an id does not grow with the log.
An id may be in any run, but few are looked up there: a filter in memory knows that the others are new.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterable, Iterator

from assay.exporters.audit._errors import OpenError, SchemaMismatchError
from assay.exporters.audit._id_filter import IdFilter

Key = bytes | str
KeyRange = tuple[bytes | None, bytes | None]
"""Keys from the first bytes, inclusive, to the second ones, exclusive; None is the end of all keys."""

ALL_KEYS: KeyRange = (None, None)

RUN = 1 << 17  # recent ids at which they become a run: they take about 4 MB
MERGED = 8  # runs of this length that become a longer one, which stays as it is
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_ADD = "INSERT INTO main.recent_ids VALUES (?, ?)"
_RUNS = "SELECT run, size FROM main.id_runs"
_NEW_RUN = "INSERT INTO main.id_runs VALUES (?, ?)"
_MOVE = "INSERT INTO main.ids SELECT ?, id, leaf_index FROM main.recent_ids"
_OF_RUN = "SELECT ? AS run, id, leaf_index FROM main.ids WHERE run = ?"
_ALL = "SELECT id FROM main.recent_ids UNION ALL SELECT id FROM main.ids"
_WRONG = """SELECT run FROM id_runs
            WHERE size != (SELECT count(*) FROM ids WHERE ids.run = id_runs.run) LIMIT 1"""
_READ_RECENT = "SELECT id, leaf_index FROM recent_ids WHERE leaf_index >= ?"
_READ_RUN = "SELECT id, leaf_index FROM ids WHERE run = ? AND leaf_index >= ?"
_READ_RUNS = "SELECT id, leaf_index FROM id_runs CROSS JOIN ids USING (run) WHERE leaf_index >= ?"
_MERGED_AT_ONCE = 400  # runs; SQLite allows 500 terms
COUNT = "SELECT (SELECT count(*) FROM ids) + (SELECT count(*) FROM recent_ids)"
_FIND_RECENT = "SELECT leaf_index FROM recent_ids WHERE id = ?"
_FIND = """SELECT leaf_index FROM id_runs CROSS JOIN ids USING (run) WHERE id = ?
           ORDER BY run DESC LIMIT 1"""


def key_of(record_id: str) -> Key:
    """Return the key of a record id: 16 bytes for a UUID in lower case, else the id itself."""
    return bytes.fromhex(record_id.replace("-", "")) if _UUID(record_id) else record_id


def find(connection: sqlite3.Connection, record_id: str) -> int | None:
    """Return the leaf index of a record, None if the log does not contain the record."""
    key = key_of(record_id)
    for statement in (_FIND_RECENT, _FIND):
        found = connection.execute(statement, (key,)).fetchone()
        if found is not None:
            return found[0]
    return None


def read(connection: sqlite3.Connection, first: int, keys: KeyRange) -> Iterator[tuple[Key, int]]:
    """Yield the keys in a range and their leaf indexes, for leaves from `first`, in the order of the keys.

    Raises:
        SchemaMismatchError: A key is in the index twice.
    """
    runs = [run for run, _ in connection.execute(_RUNS)]
    condition, bounds = within("id", keys)
    selected: list[tuple[str, list[object]]] = [(_READ_RECENT, [first, *bounds])]
    if len(runs) <= _MERGED_AT_ONCE:
        selected += [(_READ_RUN, [run, first, *bounds]) for run in runs]  # SQLite merges them
    else:
        selected.append((_READ_RUNS, [first, *bounds]))  # SQLite sorts their ids
    statement = " UNION ALL ".join(select + condition for select, _ in selected)
    values = [value for _, given in selected for value in given]
    before: tuple[Key, int] | None = None
    for found in connection.execute(f"{statement} ORDER BY id", values):
        if before is not None and before[0] == found[0]:
            raise SchemaMismatchError(
                f"the index of ids has an id twice: of the leaves {before[1]} and {found[1]}"
            )
        yield found
        before = found


def check_sizes(connection: sqlite3.Connection) -> None:
    """Check that the runs have the sizes that `id_runs` gives.

    Raises:
        SchemaMismatchError: One has not.
    """
    wrong = connection.execute(_WRONG).fetchone()
    if wrong is not None:
        raise SchemaMismatchError(f"run {wrong[0]} of the index of ids has not the size that id_runs gives")


class IdIndex:
    """The index for the log's writer.

    Args:
        connection: Its connection. All ids are read once, which takes about half a second for a million.

    Raises:
        OpenError: Another program has changed the index.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        try:
            check_sizes(connection)
        except SchemaMismatchError as error:
            raise OpenError(f"the database was changed by another program: {error}") from error
        self.reload()
        self._filter = IdFilter(2 * self._count())
        self._filter.add(key for (key,) in connection.execute(_ALL))

    def reload(self) -> None:
        """Read again what the index consists of: after a transaction was rolled back."""
        execute = self._connection.execute
        self._recent: int = execute("SELECT count(*) FROM main.recent_ids").fetchone()[0]
        self._runs: dict[int, int] = dict(execute(_RUNS))

    def add(self, leaves: Iterable[tuple[str, int]]) -> None:
        """Add record ids and their leaf indexes; call it within a transaction.

        Raises:
            sqlite3.IntegrityError: An id is in the index, or twice in `leaves`.
        """
        added = [(key_of(record_id), index) for record_id, index in leaves]
        keys = [key for key, _ in added]
        for key in self._filter.possible(keys):
            if self._connection.execute(_FIND, (key,)).fetchone() is not None:
                raise sqlite3.IntegrityError("a record id is already in the log")
        self._filter.make_room(self._count() + len(keys))
        self._filter.add(keys)
        self._connection.executemany(_ADD, added)
        self._recent += len(added)
        if self._recent >= RUN:
            self._move_recent()
            short = [run for run, size in self._runs.items() if size < MERGED * RUN]
            if len(short) >= MERGED:
                self._merge(short)

    def _count(self) -> int:
        """Return the number of ids."""
        return self._recent + sum(self._runs.values())

    def _move_recent(self) -> None:
        """Make a run of the recent ids."""
        run = self._begin_run(self._recent)
        self._connection.execute(_MOVE, (run,))
        self._connection.execute("DELETE FROM main.recent_ids")
        self._recent = 0

    def _merge(self, runs: list[int]) -> None:
        """Make one run of several; SQLite merges them without sorting, and without holding them in memory."""
        execute = self._connection.execute
        merged = self._begin_run(sum(self._runs[run] for run in runs))
        of_runs = " UNION ALL ".join([_OF_RUN] * len(runs))
        values = [value for run in runs for value in (merged, run)]
        execute(f"INSERT INTO main.ids {of_runs} ORDER BY id", values)
        for run in runs:
            execute("DELETE FROM main.ids WHERE run = ?", (run,))
            execute("DELETE FROM main.id_runs WHERE run = ?", (run,))
            del self._runs[run]

    def _begin_run(self, size: int) -> int:
        run = max(self._runs, default=0) + 1
        self._connection.execute(_NEW_RUN, (run, size))
        self._runs[run] = size
        return run


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
