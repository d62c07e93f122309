"""The audit record: the fields that a caller fills in, and the check that every valid record passes.

The fields are those of the OpenTelemetry audit data model (draft).
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
from assay.semconv import attributes as keys

ACTOR_TYPES = frozenset(
    {keys.AUDIT_ACTOR_TYPE_USER, keys.AUDIT_ACTOR_TYPE_SERVICE, keys.AUDIT_ACTOR_TYPE_SYSTEM}
)
OUTCOMES = frozenset({keys.AUDIT_OUTCOME_SUCCESS, keys.AUDIT_OUTCOME_FAILURE, keys.AUDIT_OUTCOME_UNKNOWN})
SOURCE_TYPES = frozenset(
    {keys.AUDIT_SOURCE_TYPE_IPV4, keys.AUDIT_SOURCE_TYPE_IPV6, keys.AUDIT_SOURCE_TYPE_HOSTNAME}
)

FIELDS = {
    keys.AUDIT_RECORD_ID: "record_id",
    keys.AUDIT_ACTOR_ID: "actor_id",
    keys.AUDIT_ACTOR_TYPE: "actor_type",
    keys.AUDIT_ACTION: "action",
    keys.AUDIT_OUTCOME: "outcome",
    keys.AUDIT_TARGET_ID: "target_id",
    keys.AUDIT_TARGET_TYPE: "target_type",
    keys.AUDIT_SOURCE_ID: "source_id",
    keys.AUDIT_SOURCE_TYPE: "source_type",
    keys.AUDIT_SCHEMA_VERSION: "schema_version",
}
"""The attributes that have a field of their own in `AuditRecord`, and its name."""

RECOMMENDED = (keys.AUDIT_RECORD_ID, keys.AUDIT_ACTION, keys.AUDIT_SOURCE_TYPE)
"""Attributes for which the data model recommends a form or values; see `deviations`."""

# Bound once, because `check` and `deviations` run for every record.
_RECORD_ID = keys.AUDIT_RECORD_ID
_ACTOR_ID = keys.AUDIT_ACTOR_ID
_ACTOR_TYPE = keys.AUDIT_ACTOR_TYPE
_ACTION = keys.AUDIT_ACTION
_OUTCOME = keys.AUDIT_OUTCOME
_SOURCE_TYPE = keys.AUDIT_SOURCE_TYPE
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
_MANDATORY = (_RECORD_ID, _ACTOR_ID, _ACTOR_TYPE, _ACTION, _OUTCOME)
_OPTIONAL_TEXTS = (
    keys.AUDIT_TARGET_ID,
    keys.AUDIT_TARGET_TYPE,
    keys.AUDIT_SOURCE_ID,
    keys.AUDIT_SOURCE_TYPE,
)
DEPTH = 16  # of values within values: servers that limit nested messages to 64 accept it
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """One action, its actor and its outcome.

    Args:
        event_name: What happened, such as `flowstone.checkpoint.approved`.
        action: A verb, by convention in upper case, such as `APPROVE`.
        outcome: `success`, `failure` or `unknown`.
        actor_id: Who acted. Empty: the actor of the context (`assay.audit.actor`), else `system`.
        actor_type: `user`, `service` or `system`. Empty: `user` if `actor_id` is given, else the context's.
        target_id: The object of the action.
        target_type: The type of that object.
        source_id: The address that the action came from.
        source_type: `ipv4`, `ipv6`, `hostname`, or another type.
        schema_version: Version of the schema of `body` and `attributes`.
        body: Details: None, a string, number, bool or bytes, or a sequence or mapping of such values.
        attributes: Other attributes, such as `assay.correlation_id`.
        time_unix_nano: When it happened, in ns since 1970. 0: now.
        observed_time_unix_nano: When it was observed, never before it happened. 0: now.
        record_id: The same in every retry; a UUID v4 is recommended. Empty: a new UUID v4.
        trace_id: 16 bytes. Empty: that of the current span, if there is one.
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
    """Return the record as an OTLP `LogRecord`, without its empty fields.

    Raises:
        RecordError: OTLP has no form for a value's type, or a text is not well-formed Unicode.
    """
    named = {key: getattr(record, field) for key, field in FIELDS.items()}
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
    """Return attributes as OTLP key-value pairs.

    Raises:
        RecordError: OTLP has no form for a value's type, or a value is nested too deeply.
    """
    return [KeyValue(key=key, value=to_value(value, depth)) for key, value in values.items()]


def to_value(value: Any, depth: int = DEPTH) -> AnyValue:  # noqa: ANN401, PLR0911  any value; one return a type
    """Return a Python value as an OTLP `AnyValue`; None becomes an empty one.

    Raises:
        RecordError: OTLP has no form for its type, or it is nested too deeply.
    """
    if depth == 0:
        raise RecordError(f"values are nested more than {DEPTH} levels deep: flatten the body")
    if value is None:
        return AnyValue()
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        # OTLP integers have 64 bits: the digits of a larger one become text.
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
    raise RecordError(f"an audit record cannot hold a {type(value).__name__}: pass text, numbers or bytes")


def check(content: Content) -> str:
    """Check that a log record's content is a valid audit record, and return the record's id.

    Only requirements of the data model ("MUST") are checked; `deviations` returns recommendations.

    Args:
        content: As returned by `assay.audit.canonical.content`.

    Raises:
        RecordError: A mandatory field is missing, or a field has a value that is not allowed.
    """
    attributes: dict[str, Content] = content["attributes"]
    try:
        record_id: str = attributes[_RECORD_ID]["stringValue"]
        actor: str = attributes[_ACTOR_ID]["stringValue"]
        actor_type: str = attributes[_ACTOR_TYPE]["stringValue"]
        action: str = attributes[_ACTION]["stringValue"]
        outcome: str = attributes[_OUTCOME]["stringValue"]
    except KeyError:
        raise _missing(attributes) from None
    if not (record_id and actor and actor_type and action and outcome):
        raise _missing(attributes)
    if actor_type not in ACTOR_TYPES:
        raise _not_one_of(_ACTOR_TYPE, actor_type, ACTOR_TYPES)
    if outcome not in OUTCOMES:
        raise _not_one_of(_OUTCOME, outcome, OUTCOMES)
    _check_optional(attributes)
    _check_event(content)
    return record_id


def deviations(content: Content) -> list[str]:
    """Return the recommendations of the data model ("SHOULD") that a valid record does not follow.

    Args:
        content: As returned by `assay.audit.canonical.content`; `check` accepts it.

    Returns:
        Names of attributes, each at most once, in the order of the data model.
    """
    attributes: dict[str, Content] = content["attributes"]
    found: list[str] = []
    if not _UUID4(attributes[_RECORD_ID]["stringValue"]):
        found.append(_RECORD_ID)
    if not attributes[_ACTION]["stringValue"].isupper():
        found.append(_ACTION)
    source = attributes.get(_SOURCE_TYPE)
    if source is not None and source["stringValue"] not in SOURCE_TYPES:
        found.append(_SOURCE_TYPE)
    return found


def _check_optional(attributes: dict[str, Content]) -> None:
    for key in _OPTIONAL_TEXTS:
        if key in attributes and "stringValue" not in attributes[key]:
            raise RecordError(f"{key} must be a string")


def _check_event(content: Content) -> None:
    name: str = content["eventName"]
    if not name:
        raise RecordError("event_name is empty: set the name of what happened, such as user.login")
    happened, seen = int(content["timeUnixNano"]), int(content["observedTimeUnixNano"])
    if not happened or not seen:
        raise RecordError("time_unix_nano and observed_time_unix_nano must both be set")
    if seen < happened:
        raise RecordError(
            f"observed_time_unix_nano {seen} is before time_unix_nano {happened}: check the clock"
        )


def _missing(attributes: dict[str, Content]) -> RecordError:
    lacking = [key for key in _MANDATORY if not attributes.get(key, {}).get("stringValue")]
    return RecordError(f"missing, empty or not a string: {', '.join(lacking)}")


def _not_one_of(key: str, value: str, allowed: frozenset[str]) -> RecordError:
    return RecordError(f"{key} is {value[:64]!r}, allowed: {', '.join(sorted(allowed))}")
