"""The rows of witnesses: their cosignatures, the checkpoints that had a quorum, and refusals as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import Reader, open_read_only
from assay.proof.cosignature import Cosignature, WitnessKey, cosignatures
from assay.proof.policy import Policy

_LINES = "SELECT line FROM cosignatures WHERE size = ? ORDER BY witness"
_IS_COSIGNED = "SELECT 1 FROM cosignatures WHERE size = ? AND witness = ?"
_INSERT = "INSERT INTO cosignatures VALUES (?, ?, ?)"
_IS_WITNESSED = "SELECT 1 FROM witnessed WHERE size = ?"
_INSERT_WITNESSED = "INSERT INTO witnessed VALUES (?)"
_NEWEST_WITNESSED = """SELECT witnessed.size FROM witnessed JOIN checkpoints USING (size)
                       ORDER BY witnessed.size DESC LIMIT 1"""
_NEWEST = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
_NOTE = "SELECT note FROM checkpoints WHERE size = ?"
_REFUSALS = "SELECT witness, size, status, answer, request, refused_at FROM refusals ORDER BY number"
_INSERT_REFUSAL = """INSERT INTO refusals (witness, size, status, answer, request, refused_at)
                     VALUES (?, ?, ?, ?, ?, ?)"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer of a witness that contradicts the log: either of them shows, or showed, another history.

    Args:
        witness: Name of the witness, and the id of its key.
        size: Size of the checkpoint that it refused.
        status: HTTP status of the answer.
        answer: The answer.
        request: The request, with the checkpoint and the consistency proof.
        refused_at: Time of the answer, RFC 3339.
    """

    witness: str
    size: int
    status: int
    answer: str
    request: str
    refused_at: str


def witness_name(key: WitnessKey) -> str:
    """Return the name of a witness in the rows: its own, and the id of its key."""
    return f"{key.name}+{key.id.hex()}"


def cosigned_note(connection: Reader, size: int, note: str) -> str:
    """Return a checkpoint with the cosignatures that it has so far."""
    return note + "".join(line for (line,) in connection.execute(_LINES, (size,)))


def newest_witnessed(connection: Reader) -> int:
    """Return the size of the newest checkpoint that had the quorum of the sink's policy; 0 without one."""
    size: int
    (size,) = connection.execute(_NEWEST_WITNESSED).fetchone() or (0,)
    return size


def newest_note(connection: Reader) -> str | None:
    """Return the newest checkpoint with its cosignatures; None if the log has none."""
    found = connection.execute(_NEWEST).fetchone()
    return None if found is None else cosigned_note(connection, *found)


def published_note(connection: Reader) -> str | None:
    """Return the newest checkpoint that had its quorum; the newest of all if none had it."""
    size = newest_witnessed(connection)
    found = connection.execute(_NOTE, (size,)).fetchone() if size else None
    return newest_note(connection) if found is None else cosigned_note(connection, size, found[0])


def add_cosignature(connection: Reader, size: int, cosignature: Cosignature, policy: Policy) -> bool:
    """Store a cosignature, and return whether the checkpoint has its quorum; call it within a transaction."""
    execute = connection.execute
    name = witness_name(cosignature.key)
    if execute(_IS_COSIGNED, (size, name)).fetchone() is None:
        execute(_INSERT, (size, name, cosignature.line))
    has_quorum = _has_quorum(connection, size, policy)
    if has_quorum and execute(_IS_WITNESSED, (size,)).fetchone() is None:
        execute(_INSERT_WITNESSED, (size,))
    return has_quorum


def verified_witnessed(connection: Reader, policy: Policy) -> int:
    """Return the size of the newest checkpoint that is stored as having its quorum; 0 if it has not.

    The table only says so. Whoever can write it could hide that cosignatures are missing.
    """
    size = newest_witnessed(connection)
    return size if size and _has_quorum(connection, size, policy) else 0


def _has_quorum(connection: Reader, size: int, policy: Policy) -> bool:
    found = connection.execute(_NOTE, (size,)).fetchone()
    if found is None:
        return False
    cosigned = cosignatures(cosigned_note(connection, size, found[0]), policy.keys)
    return policy.is_met([each.key for each in cosigned])


def add_refusal(connection: Reader, refusal: Refusal) -> None:
    """Store a refusal; call it within a transaction."""
    connection.execute(
        _INSERT_REFUSAL,
        (
            refusal.witness,
            refusal.size,
            refusal.status,
            refusal.answer,
            refusal.request,
            refusal.refused_at,
        ),
    )


def read_refusals(connection: Reader) -> Iterator[Refusal]:
    """Yield the refusals in their order."""
    for row in connection.execute(_REFUSALS):
        yield Refusal(*row)


def refusals(database: Location) -> list[Refusal]:
    """Return the answers of witnesses that contradict a log, the oldest first.

    Raises:
        OpenError: The database cannot be read.
    """
    connection = open_read_only(database)
    try:
        return list(read_refusals(connection))
    finally:
        connection.close()
