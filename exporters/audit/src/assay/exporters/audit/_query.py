"""Query the log: who did what, to what, and when."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.exporters.audit import _schema
from assay.exporters.audit._entry import trace_uuid
from assay.exporters.audit._errors import AuditLogError, OpenError, named
from assay.exporters.audit._storage import open_read_only

_TRACE_ID = re.compile(r"[0-9a-f]{32}").fullmatch
_AGO = re.compile(r"(\d+)([smhd])").fullmatch
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CONDITIONS = {  # field of Query → SQL condition
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
    """Which records to return; a field that is None does not restrict them.

    Args:
        actor: Id of the actor.
        action: Such as `APPROVE`.
        target: Id of the target.
        event: Name of the event.
        correlation_id: Correlation id or trace id.
        since: Earliest sink time: `2026-11-21`, `2026-11-21T04:00:00+01:00`, or `90m` (ago).
        until: End of the sink time, exclusive; in the same form.
        limit: Largest number of records; the newest are returned.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    event: str | None = None
    correlation_id: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None


def query(database: Path, criteria: Query) -> Iterator[dict[str, Any]]:
    """Yield the matching records, the newest first: the seed's columns, `details` as a JSON value.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: `since` or `until` cannot be parsed.
    """
    given = {name: getattr(criteria, name) for name in _CONDITIONS if getattr(criteria, name) is not None}
    for name in ("since", "until"):
        if name in given:
            given[name] = moment(given[name])
    if "correlation_id" in given:
        given["correlation_id"] = _correlation_id(given["correlation_id"])
    where = " AND ".join(_CONDITIONS[name] for name in given) or "1"
    sql = f"SELECT {', '.join(_schema.COLUMNS)} FROM audit_log WHERE {where} ORDER BY leaf_index DESC LIMIT ?"  # noqa: S608  the conditions are constants, the values are bound
    limit = -1 if criteria.limit is None else criteria.limit
    for row in _rows(database, sql, *given.values(), limit):
        record: dict[str, Any] = dict(zip(_schema.COLUMNS, row, strict=True))
        try:
            record["details"] = orjson.loads(record["details"])
        except (ValueError, TypeError) as error:
            raise AuditLogError(
                f"record {named(record['id'])}: its details are not JSON: run assay audit verify"
            ) from error
        yield record


def quarantined(database: Path) -> Iterator[dict[str, Any]]:
    """Yield the quarantine entries in their order of arrival, without their payloads.

    Raises:
        OpenError: The database cannot be read.
    """
    for row in _rows(database, _QUARANTINE):
        yield dict(zip(_QUARANTINE_COLUMNS, row, strict=True))


def quarantined_payload(database: Path, leaf_index: int) -> bytes:
    """Return the payload of a quarantine entry.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: Quarantine does not contain the entry.
    """
    for (payload,) in _rows(database, _PAYLOAD, leaf_index):
        return payload
    raise AuditLogError(f"quarantine does not contain an entry with leaf index {leaf_index}")


def newest_checkpoint(database: Path) -> str:
    """Return the newest signed checkpoint.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: The log has no checkpoint.
    """
    for (note,) in _rows(database, _CHECKPOINT):
        return note
    raise AuditLogError(f"{database}: the log has no checkpoint")


def _rows(database: Path, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
    connection = open_read_only(database)
    try:
        yield from connection.execute(sql, values)
    except OverflowError as error:
        raise AuditLogError("a number is beyond 64 bits, the largest that a log can hold") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise OpenError(f"{database}: cannot be read: {error}. Run `assay audit verify`") from error
    finally:
        connection.close()


def moment(text: str) -> str:
    """Return a time in the table's form (RFC 3339, UTC, microseconds).

    Args:
        text: `2026-11-21`, `2026-11-21T04:00:00+01:00`, or `90m` (ago).

    Raises:
        AuditLogError: The text has none of these forms.
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
            f"{text[:80]!r} is not a time: write 2026-11-21, 2026-11-21T04:00:00Z, or 90m, 24h, 7d (ago)"
        ) from error
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _correlation_id(text: str) -> str:
    """Return a trace id in the column's form, any other text unchanged."""
    return trace_uuid(text) if _TRACE_ID(text) else text
