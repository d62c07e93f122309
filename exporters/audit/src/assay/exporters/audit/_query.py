"""Query the log: who did what, to what, and when."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import orjson

from assay.audit.canonical import Content, unwrap
from assay.exporters.audit import _schema
from assay.exporters.audit._archives import require_live
from assay.exporters.audit._cosigned import newest_note, published_note
from assay.exporters.audit._entry import timestamp, trace_uuid
from assay.exporters.audit._errors import AuditLogError, OpenError, named
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import Reader, open_read_only
from assay.exporters.audit._times import moment
from assay.semconv import attributes as keys

_READ = (*_schema.COLUMNS, "leaf_index", "integrity_hash", "leaf_hash", "leaf")
_TRACE_ID = re.compile(r"[0-9a-f]{32}").fullmatch
_CONDITIONS = {  # field of Query → SQL condition
    "action": "action = {}",
    "since": "inserted_at >= {}",
    "until": "inserted_at < {}",
}
_INDEXED = {  # field of Query → column that the seed has an index of
    "actor": "actor_id",
    "target": "resource_id",
    "event": "event_type",
    "correlation_id": "correlation_id",
}
_QUARANTINE = """SELECT leaf_index, kind, record_id, reason, encoding, length(payload), inserted_at
                 FROM quarantine ORDER BY leaf_index"""
_QUARANTINE_COLUMNS = ("leaf_index", "kind", "record_id", "reason", "encoding", "bytes", "inserted_at")
_PAYLOAD = "SELECT payload FROM quarantine WHERE leaf_index = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which records to return; a field that is None does not restrict them.

    Args:
        actor: Id of the actor.
        action: Such as `APPROVE`.
        target: Id of the target.
        event: Name of the event.
        outcome: `success`, `failure` or `unknown`.
        source: Id of the source, such as an address.
        correlation_id: Correlation id or trace id.
        since: Earliest sink time: `2026-11-21`, `2026-11-21T04:00:00+01:00`, or `90m` (ago).
        until: End of the sink time, exclusive; in the same form.
        happened_since: Earliest time of the event, in the same form.
        happened_until: End of the time of the event, exclusive; in the same form.
        attributes: Values of attributes of the record or of its resource, as text.
        limit: Largest number of records; the newest are returned.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    event: str | None = None
    outcome: str | None = None
    source: str | None = None
    correlation_id: str | None = None
    since: str | None = None
    until: str | None = None
    happened_since: str | None = None
    happened_until: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    limit: int | None = None


FIELDS = (
    *_schema.COLUMNS,
    "outcome",
    "happened_at",
    "observed_at",
    "source_type",
    "source_id",
    "attributes",
    "resource",
    "verify_status",
    "leaf_index",
    "integrity_hash",
    "leaf_hash",
    "leaf",
)
"""The members of a record that `query` returns."""


def query(database: Location, criteria: Query) -> Iterator[dict[str, Any]]:
    """Yield the matching records, the newest first, each with all `FIELDS`; archived ones are not read.

    `details`, `attributes` and `resource` are JSON values. `leaf` is the text of the record's leaf: the
    SHA-256 of a zero byte and its UTF-8 is `leaf_hash`.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: A time cannot be parsed, or a record is damaged.
    """
    names = (*_INDEXED, *_CONDITIONS)
    given = {name: getattr(criteria, name) for name in names if getattr(criteria, name) is not None}
    for name in ("since", "until"):
        if name in given:
            given[name] = moment(given[name])
    if "correlation_id" in given:
        given["correlation_id"] = _correlation_id(given["correlation_id"])
    is_match = _matcher(criteria)
    values = tuple(given.values())
    records = map(_record, _rows(database, lambda log: log.stream(_select(log, given), values)))
    return itertools.islice(filter(is_match, records), criteria.limit)


def _select(log: Reader, given: Iterable[str]) -> str:
    """Return the statement with a condition for each given field, whose value is a parameter."""
    conditions = [
        log.equals(_INDEXED[name], f"?{number}")
        if name in _INDEXED
        else _CONDITIONS[name].format(f"?{number}")
        for number, name in enumerate(given, 1)
    ]
    where = " AND ".join(conditions) or "TRUE"
    return f"SELECT {', '.join(_READ)} FROM audit_log WHERE {where} ORDER BY leaf_index DESC"  # noqa: S608  the conditions are constants, the values are bound


def _record(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a row with what only its leaf contains."""
    record: dict[str, Any] = dict(zip(_READ, row, strict=True))
    try:
        leaf = orjson.loads(record["leaf"])
        logged: dict[str, Content] = leaf["record"]["attributes"]
        attributes = {key: unwrap(value) for key, value in logged.items()}
        attributes |= {key: unwrap(value) for key, value in leaf.get("integrity", {}).items()}
        record |= {
            "details": orjson.loads(record["details"]),
            "outcome": attributes[keys.AUDIT_OUTCOME],
            "happened_at": timestamp(int(leaf["record"]["timeUnixNano"])),
            "observed_at": timestamp(int(leaf["record"]["observedTimeUnixNano"])),
            "source_type": attributes.get(keys.AUDIT_SOURCE_TYPE),
            "source_id": attributes.get(keys.AUDIT_SOURCE_ID),
            "attributes": attributes,
            "resource": {key: unwrap(value) for key, value in leaf["resource"]["attributes"].items()},
            "verify_status": leaf.get("verifyStatus"),
            "integrity_hash": record["integrity_hash"].hex(),
            "leaf_hash": record["leaf_hash"].hex(),
        }
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError) as error:
        raise AuditLogError(
            f"record {named(record['id'])} is damaged ({type(error).__name__}): run assay audit verify"
        ) from error
    return {name: record[name] for name in FIELDS}


def _matcher(criteria: Query) -> Callable[[dict[str, Any]], bool]:
    """Return whether a record has the values that only its leaf contains."""
    since = moment(criteria.happened_since) if criteria.happened_since else ""
    until = moment(criteria.happened_until) if criteria.happened_until else "~"  # after every digit

    def is_match(record: dict[str, Any]) -> bool:
        known = {**record["resource"], **record["attributes"]}
        return (
            criteria.outcome in (None, record["outcome"])
            and criteria.source in (None, record["source_id"])
            and since <= record["happened_at"] < until
            and all(key in known and str(known[key]) == value for key, value in criteria.attributes.items())
        )

    return is_match


def quarantined(database: Location) -> Iterator[dict[str, Any]]:
    """Yield the quarantine entries in their order of arrival, without their payloads.

    Raises:
        OpenError: The database cannot be read.
    """
    for row in _rows(database, lambda log: log.stream(_QUARANTINE)):
        yield dict(zip(_QUARANTINE_COLUMNS, row, strict=True))


def quarantined_payload(database: Location, leaf_index: int) -> bytes:
    """Return the payload of a quarantine entry.

    Raises:
        OpenError: The database cannot be read.
        ArchivedError: The entry is archived.
        AuditLogError: Quarantine does not contain the entry.
    """
    for (payload,) in _rows(database, lambda log: iter(log.execute(_PAYLOAD, (leaf_index,)))):
        return payload
    with closing(open_read_only(database)) as connection:
        require_live(connection, leaf_index)
    raise AuditLogError(f"quarantine does not contain an entry with leaf index {leaf_index}")


def newest_checkpoint(database: Location, *, witnessed: bool = False) -> str:
    """Return the newest signed checkpoint, with the cosignatures that it has so far.

    Args:
        database: The log's database.
        witnessed: Return the newest one that had the quorum of the sink's policy, if there is one.

    Raises:
        OpenError: The database cannot be read.
        AuditLogError: The log has no checkpoint.
    """
    connection = open_read_only(database)
    try:
        found = published_note(connection) if witnessed else newest_note(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _unreadable(database, error) from error
    finally:
        connection.close()
    if found is None:
        raise AuditLogError(f"{database}: the log has no checkpoint")
    return found


def _rows(database: Location, read: Callable[[Reader], Iterator[Any]]) -> Iterator[tuple[Any, ...]]:
    connection = open_read_only(database)
    try:
        yield from read(connection)
    except OverflowError as error:
        raise AuditLogError("a number is beyond 64 bits, the largest that a log can hold") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _unreadable(database, error) from error
    finally:
        connection.close()


def _unreadable(database: Location, error: Exception) -> OpenError:
    return OpenError(f"{database}: cannot be read: {error}. Run `assay audit verify`")


def _correlation_id(text: str) -> str:
    """Return a trace id in the column's form, any other text unchanged."""
    return trace_uuid(text) if _TRACE_ID(text) else text
