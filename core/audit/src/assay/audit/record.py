"""The audit record: what a caller fills in, and what must hold of one wherever it is.

The fields are those of the OpenTelemetry audit data model (draft); the lengths are those of the seed's table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.canonical import Content
from assay.audit.errors import RecordError

RECORD_ID = "audit.record.id"
ACTOR_ID = "audit.actor.id"
ACTOR_TYPE = "audit.actor.type"
ACTION = "audit.action"
OUTCOME = "audit.outcome"
TARGET_ID = "audit.target.id"
TARGET_TYPE = "audit.target.type"
SOURCE_ID = "audit.source.id"
SOURCE_TYPE = "audit.source.type"
SCHEMA_VERSION = "audit.schema.version"
CORRELATION_ID = "assay.correlation_id"

ACTOR_TYPES = frozenset({"user", "service", "system"})
OUTCOMES = frozenset({"success", "failure", "unknown"})
SOURCE_TYPES = frozenset({"ipv4", "ipv6", "hostname"})

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
_MANDATORY = (RECORD_ID, ACTOR_ID, ACTOR_TYPE, ACTION, OUTCOME)
DEPTH = 16  # of values within values: what servers take that limit nested messages to 64
_EVENT_LENGTH = 100  # as in the seed's table
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """One thing that somebody did.

    Args:
        event_name: What happened, such as `flowstone.checkpoint.approved`.
        action: Upper-case verb, such as `APPROVE`.
        outcome: `success`, `failure` or `unknown`.
        actor_id: Who did it; empty: the actor of the context (`assay.audit.actor`), else `unknown`.
        actor_type: `user`, `service` or `system`; goes with `actor_id`.
        target_id: What it was done to.
        target_type: What kind of thing that is.
        source_id: Address it was done from.
        source_type: `ipv4`, `ipv6` or `hostname`.
        schema_version: Version of the schema of `body` and `attributes`.
        body: Details: None, a string, number, bool, bytes, a sequence or a mapping of such.
        attributes: Any others, such as `assay.correlation_id`.
        time_unix_nano: When it happened, in ns since 1970; 0: now.
        observed_time_unix_nano: When it was seen, never before it happened; 0: now.
        record_id: UUID v4, the same over every retry; empty: a new one.
        trace_id: 16 bytes; empty: that of the current span, if there is one.
        span_id: 8 bytes; goes with `trace_id`.
    """

    event_name: str
    action: str
    outcome: str
    actor_id: str = ""
    actor_type: str = ""
    target_id: str = ""
    target_type: str = ""
    source_id: str = ""
    source_type: str = ""
    schema_version: str = ""
    body: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    time_unix_nano: int = 0
    observed_time_unix_nano: int = 0
    record_id: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""


def to_log_record(record: AuditRecord) -> LogRecord:
    """Return the record as the OTLP message that carries it; fields that are empty are left out.

    Raises:
        RecordError: A value is of a type that OTLP does not know, or no well-formed Unicode.
    """
    named = {
        RECORD_ID: record.record_id,
        ACTOR_ID: record.actor_id,
        ACTOR_TYPE: record.actor_type,
        ACTION: record.action,
        OUTCOME: record.outcome,
        TARGET_ID: record.target_id,
        TARGET_TYPE: record.target_type,
        SOURCE_ID: record.source_id,
        SOURCE_TYPE: record.source_type,
        SCHEMA_VERSION: record.schema_version,
    }
    present: dict[str, Any] = {**record.attributes, **{key: value for key, value in named.items() if value}}
    try:
        return LogRecord(
            time_unix_nano=record.time_unix_nano,
            observed_time_unix_nano=record.observed_time_unix_nano,
            event_name=record.event_name,
            body=None if record.body is None else to_value(record.body),
            attributes=to_pairs(present),
            trace_id=record.trace_id,
            span_id=record.span_id,
        )
    except RecordError:
        raise
    except (TypeError, ValueError) as error:
        raise RecordError(f"audit record {record.event_name!r} cannot be written as OTLP: {error}") from error


def to_pairs(values: Mapping[str, Any], depth: int = DEPTH) -> list[KeyValue]:
    """Return attributes as OTLP writes them.

    Raises:
        RecordError: A value is of a type that OTLP does not know.
    """
    return [KeyValue(key=key, value=to_value(value, depth)) for key, value in values.items()]


def to_value(value: Any, depth: int = DEPTH) -> AnyValue:  # noqa: ANN401, PLR0911  any value; one return a type
    """Return a Python value as OTLP writes it; None is a value without content.

    Raises:
        RecordError: It is of a type that OTLP does not know, or nested too deep.
    """
    if depth == 0:
        raise RecordError(f"values are nested more than {DEPTH} deep: flatten the body")
    if value is None:
        return AnyValue()
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        # Beyond 64 bits OTLP has no integer: the digits are kept as text.
        return AnyValue(int_value=value) if value in _INT64 else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, (bytes, bytearray)):
        return AnyValue(bytes_value=bytes(value))
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return AnyValue(kvlist_value=KeyValueList(values=to_pairs(members, depth - 1)))
    if isinstance(value, Sequence):
        items = cast("Sequence[Any]", value)
        return AnyValue(array_value=ArrayValue(values=[to_value(item, depth - 1) for item in items]))
    raise RecordError(
        f"a {type(value).__name__} has no place in an audit record: pass text, numbers or bytes"
    )


def check(content: Content) -> str:
    """Check that a record's content is an audit record.

    Args:
        content: As `assay.audit.canonical.content` gives it.

    Returns:
        The record's id.

    Raises:
        RecordError: A mandatory field is missing, or a field has a value that it may not have.
    """
    attributes: dict[str, Content] = content["attributes"]
    try:
        record_id: str = attributes[RECORD_ID]["stringValue"]
        actor: str = attributes[ACTOR_ID]["stringValue"]
        actor_type: str = attributes[ACTOR_TYPE]["stringValue"]
        action: str = attributes[ACTION]["stringValue"]
        outcome: str = attributes[OUTCOME]["stringValue"]
    except KeyError:
        raise _missing(attributes) from None
    if not (record_id and actor and actor_type and action and outcome):
        raise _missing(attributes)
    if not _UUID4(record_id):
        raise RecordError(f"{RECORD_ID} {record_id[:64]!r} is no UUID v4 in lower case")
    if actor_type not in ACTOR_TYPES:
        raise _not_one_of(ACTOR_TYPE, actor_type, ACTOR_TYPES)
    if outcome not in OUTCOMES:
        raise _not_one_of(OUTCOME, outcome, OUTCOMES)
    if not action.isupper():
        raise RecordError(f"{ACTION} {action[:64]!r} must be an upper-case verb, such as APPROVE")
    _check_length(ACTOR_ID, actor, 255)
    _check_length(ACTION, action, 100)
    _check_optional(attributes)
    _check_event(content)
    return record_id


def _check_optional(attributes: dict[str, Content]) -> None:
    if (target := attributes.get(TARGET_ID)) is not None:
        _check_length(TARGET_ID, _text(TARGET_ID, target), 255)
    if (kind := attributes.get(TARGET_TYPE)) is not None:
        _check_length(TARGET_TYPE, _text(TARGET_TYPE, kind), 100)
    source = attributes.get(SOURCE_TYPE)
    if source is not None and _text(SOURCE_TYPE, source) not in SOURCE_TYPES:
        raise _not_one_of(SOURCE_TYPE, source["stringValue"], SOURCE_TYPES)


def _check_event(content: Content) -> None:
    name: str = content["eventName"]
    if not name:
        raise RecordError("event_name is empty: name what happened, such as user.login")
    if len(name) > _EVENT_LENGTH:
        raise RecordError(f"event_name is longer than {_EVENT_LENGTH} characters")
    happened, seen = int(content["timeUnixNano"]), int(content["observedTimeUnixNano"])
    if not happened or not seen:
        raise RecordError("time_unix_nano and observed_time_unix_nano must both be set")
    if seen < happened:
        raise RecordError(
            f"observed_time_unix_nano {seen} is before time_unix_nano {happened}: check the clock"
        )


def _check_length(key: str, text: str, length: int) -> None:
    """Lengths are those of the seed's columns: what is too long is refused, never cut."""
    if len(text) > length:
        raise RecordError(f"{key} is longer than {length} characters: put the long form into the body")


def _text(key: str, value: Content) -> str:
    if "stringValue" not in value:
        raise RecordError(f"{key} must be a string")
    return cast("str", value["stringValue"])


def _missing(attributes: dict[str, Content]) -> RecordError:
    lacking = [key for key in _MANDATORY if not attributes.get(key, {}).get("stringValue")]
    return RecordError(f"missing, empty or no string: {', '.join(lacking)}")


def _not_one_of(key: str, value: str, allowed: frozenset[str]) -> RecordError:
    return RecordError(f"{key} is {value[:64]!r}, it may be: {', '.join(sorted(allowed))}")
