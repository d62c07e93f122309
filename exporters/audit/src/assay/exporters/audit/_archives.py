"""The archives of a log: which of its oldest entries left the database, and where they are.

`archives` has a row for each archive, `archived` the hashes of each archived entry. They keep the tree whole,
and the sink knows the ids of archived records. `_archive` writes archives.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from assay.exporters.audit._errors import ArchivedError, OpenError, named
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import Reader, open_read_only

_ALL = "SELECT first_leaf, end_leaf, older_than, name, sha256, archived_at FROM archives ORDER BY first_leaf"
_OF_LEAF = "SELECT name FROM archives WHERE first_leaf <= ?1 AND end_leaf > ?1"
_HASH = "SELECT leaf_hash FROM archived WHERE leaf_index = ?"
_QUARANTINED = "SELECT min(leaf_index) FROM archived WHERE record_id = ?"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive of a log's entries.

    Args:
        first: Its first leaf.
        end: The leaf after its last.
        older_than: The sink times of its entries are before this time, RFC 3339.
        name: Name of its folder.
        sha256: SHA-256 of its manifest.
        archived_at: When the entries left the database, RFC 3339.
    """

    first: int
    end: int
    older_than: str
    name: str
    sha256: bytes
    archived_at: str


def archives(database: Location) -> list[Archive]:
    """Return the archives of a log, the oldest first.

    Raises:
        OpenError: The database cannot be read.
    """
    with closing(open_read_only(database)) as connection:
        try:
            return read_archives(connection)
        except sqlite3.DatabaseError as error:
            raise OpenError(f"{database}: cannot be read: {error}. Run `assay audit verify`") from error


def read_archives(connection: Reader) -> list[Archive]:
    """Return the archives of a log, the oldest first."""
    return [Archive(*row) for row in connection.execute(_ALL)]


def archived_in(connection: Reader, record_id: str) -> str | None:
    """Return the archive of the quarantine entry with a record id; None if it is not archived."""
    (leaf,) = connection.execute(_QUARANTINED, (record_id,)).fetchone()
    return None if leaf is None else _name(connection, leaf)


def require_live(connection: Reader, leaf: int, record_id: str | None = None) -> None:
    """Check that the database has the content of a leaf.

    Raises:
        ArchivedError: It is archived; the message names the archive and the leaf's hash.
    """
    found = connection.execute(_HASH, (leaf,)).fetchone()
    if found is not None:
        entry = f"leaf {leaf}" if record_id is None else f"record {named(record_id)} (leaf {leaf})"
        raise ArchivedError(
            f"{entry} is archived, in {_name(connection, leaf)}; its leaf hash is {found[0].hex()}"
        )


def _name(connection: Reader, leaf: int) -> str:
    (name,) = connection.execute(_OF_LEAF, (leaf,)).fetchone() or ("no archive that the log knows",)
    return named(name)
