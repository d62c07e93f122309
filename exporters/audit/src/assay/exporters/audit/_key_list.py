"""List the keys of a log, and the keys of producers in a trust store."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from assay.exporters.audit._cosigned import newest_note
from assay.exporters.audit._errors import AuditLogError, OpenError
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._schema import is_key_name
from assay.exporters.audit._storage import open_read_only
from assay.exporters.audit._trust import TrustStore
from assay.proof.note import VerifierKey, signers


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key of a log or of a producer.

    Args:
        id: Id of the key.
        use: `log`, or the algorithm of a producer's key.
        state: `signs now` or `signed before`; of a producer's key `valid`, or why it does not verify.
        key: The verifier key of a log; empty for a producer's key.
    """

    id: str
    use: str
    state: str
    key: str


def log_keys(database: Location) -> list[ListedKey]:
    """Return the keys that a log states to be its own. An auditor takes them from another source.

    Raises:
        OpenError: The database cannot be read.
        SignatureError: A signature on the newest checkpoint is wrong.
        AuditLogError: The log has no checkpoint, or one of its keys is malformed.
    """
    try:
        with closing(open_read_only(database)) as connection:
            stored = connection.execute("SELECT name, value FROM meta ORDER BY name").fetchall()
            note = newest_note(connection)
    except sqlite3.DatabaseError as error:
        raise OpenError(f"{database}: cannot be read: {error}. Run `assay audit verify`") from error
    if note is None:
        raise AuditLogError(f"{database}: the log has no checkpoint")
    keys = [VerifierKey.parse(value) for name, value in stored if is_key_name(name)]
    _, signing = signers(note, keys)
    return [
        ListedKey(key.id.hex(), "log", "signs now" if key in signing else "signed before", str(key))
        for key in keys
    ]


def producer_keys(trust: Path) -> list[ListedKey]:
    """Return the keys of a trust store, with their present state.

    Raises:
        OpenError: A file cannot be read.
        KeyFormatError: A file is malformed.
    """
    states = TrustStore(trust).states(time.time_ns())
    return [ListedKey(name, algorithm, refusal or "valid", "") for name, algorithm, refusal in states]
