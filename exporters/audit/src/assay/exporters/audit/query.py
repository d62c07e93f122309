"""What an auditor asks: who did what, to what, when."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.exporters.audit import schema
from assay.exporters.audit.errors import AuditLogError, OpenError
from assay.exporters.audit.storage import open_read_only

_TRACE = re.compile(r"[0-9a-f]{32}").fullmatch
_AGO = re.compile(r"(\d+)([smhd])").fullmatch
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FILTERS = {  # argument of Query → condition
    "actor": "actor_id = ?",
    "action": "action = ?",
    "target": "resource_id = ?",
    "event": "event_type = ?",
    "correlation_id": "correlation_id = ?",
    "since": "inserted_at >= ?",
    "until": "inserted_at < ?",
}
_QUARANTINE = """SELECT leaf_index, kind, record_id, reason, encoding, length(payload), inserted_at
                 FROM quarantine ORDER BY leaf_index"""
_QUARANTINE_COLUMNS = ("leaf_index", "kind", "record_id", "reason", "encoding", "bytes", "inserted_at")
_PAYLOAD = "SELECT payload FROM quarantine WHERE leaf_index = ?"
_CHECKPOINT = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; what is None does not matter.

    Args:
        actor: Who.
        action: Such as `APPROVE`.
        target: Id of the thing it was done to.
        event: Name of the event.
        correlation_id: Or a trace id.
        since: The first moment at which the sink took it, as `moment` reads it.
        until: The first moment that is too late.
        limit: At most so many, the newest.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    event: str | None = None
    correlation_id: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None


def query(database: Path, what: Query) -> Iterator[dict[str, Any]]:
    """Yield records, the newest first: the seed's columns, with `details` as JSON value.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: A time cannot be read.
    """
    given = {name: getattr(what, name) for name in _FILTERS if getattr(what, name) is not None}
    for name in ("since", "until"):
        if name in given:
            given[name] = moment(given[name])
    if "correlation_id" in given:
        given["correlation_id"] = _correlation(given["correlation_id"])
    where = " AND ".join(_FILTERS[name] for name in given) or "1"
    sql = f"SELECT {', '.join(schema.COLUMNS)} FROM audit_log WHERE {where} ORDER BY leaf_index DESC LIMIT ?"  # noqa: S608  conditions of this module, values are bound
    limit = -1 if what.limit is None else what.limit
    for row in _rows(database, sql, *given.values(), limit):
        record: dict[str, Any] = dict(zip(schema.COLUMNS, row, strict=True))
        record["details"] = orjson.loads(record["details"])
        yield record


def quarantined(database: Path) -> Iterator[dict[str, Any]]:
    """Yield what is in quarantine, in the order in which it came, without the payloads.

    Raises:
        OpenError: The database cannot be read.
    """
    for row in _rows(database, _QUARANTINE):
        yield dict(zip(_QUARANTINE_COLUMNS, row, strict=True))


def quarantined_payload(database: Path, leaf_index: int) -> bytes:
    """Return the payload of an entry in quarantine.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: There is no such entry.
    """
    for (payload,) in _rows(database, _PAYLOAD, leaf_index):
        return payload
    raise AuditLogError(f"there is no entry with leaf index {leaf_index} in quarantine")


def newest_checkpoint(database: Path) -> str:
    """Return the newest signed checkpoint.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: There is none.
    """
    for (note,) in _rows(database, _CHECKPOINT):
        return note
    raise AuditLogError(f"{database}: there is no checkpoint")


def _rows(database: Path, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
    connection = open_read_only(database)
    try:
        yield from connection.execute(sql, values)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise OpenError(f"{database}: cannot be read: {error}. Run assay audit verify") from error
    finally:
        connection.close()


def moment(text: str) -> str:
    """Return a moment as the table writes it: `2026-11-21`, `2026-11-21T04:00:00+01:00`, or `90m` (ago).

    Raises:
        AuditLogError: It is none of them.
    """
    try:
        if ago := _AGO(text):
            number, unit = ago.groups()
            when = dt.datetime.now(dt.timezone.utc) - dt.timedelta(**{_UNITS[unit]: int(number)})
        else:
            when = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
        when = when.replace(tzinfo=when.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)
    except (ValueError, OverflowError) as error:
        raise AuditLogError(
            f"{text[:80]!r} is no time: write 2026-11-21, 2026-11-21T04:00:00Z, or 90m, 24h, 7d (ago)"
        ) from error
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _correlation(text: str) -> str:
    """Return a trace id as the column has it, anything else as it is."""
    if not _TRACE(text):
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
