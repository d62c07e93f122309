"""A filter in memory before the index of record ids: most ids are new, and need not be looked up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rbloom import Bloom

FIRST = 1 << 20
"""Ids for which the filter has room at first; it then takes 1.8 MiB."""

_WRONG = 0.001  # part of the new ids that seem to be there


class IdFilter:
    """A Bloom filter that grows: it knows of most ids that they were not added, and of none that was.

    Each part of it has at least twice the room of all parts before: the ids of a part cannot be moved.

    Args:
        ids: Number of ids that it shall have room for.
    """

    def __init__(self, ids: int) -> None:
        self._parts: list[Bloom] = []
        self._room = 0
        self.make_room(max(1, ids))

    def make_room(self, ids: int) -> None:
        """Make room for so many ids in all. With more, the filter stays right, but knows less."""
        if self._room < ids:
            added = max(FIRST, 2 * self._room, ids - self._room)
            self._parts.append(Bloom(added, _WRONG))
            self._room += added

    def add(self, keys: Iterable[bytes | str]) -> None:
        """Add ids."""
        self._parts[-1].update(keys)

    def possible(self, keys: Sequence[bytes | str]) -> list[bytes | str]:
        """Return the ids that may have been added."""
        return [key for part in self._parts for key in keys if key in part]
