"""The canonical form of an audit record: the bytes that are hashed.

It is RFC 8785 (JCS) JSON of the OTLP `LogRecord`, as the audit data model requires ("Integrity Attributes"):
without `audit.integrity.*` attributes and without severity. docs/decisions/0003-audit-canonical-form.md
decides what the draft leaves open.

A record's content is the JSON value before it is encoded: a `Content` mapping with the names of OTLP/JSON.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import orjson
import rfc8785
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.errors import RecordError

Content: TypeAlias = dict[str, Any]

INTEGRITY = "audit.integrity."
SAFE_INTEGER = 2**53 - 1  # RFC 7493 section 2.2: not every reader keeps a larger JSON number exactly
DEPTH = 32  # of values within values; protobuf accepts no deeper maps
# The first byte of a UTF-8 sequence beyond the basic multilingual plane.
_NON_BMP = re.compile(rb"[\xf0-\xf4]")


def content(record: LogRecord) -> tuple[Content, Content]:
    """Return the content that a record's canonical form covers, and its `audit.integrity.*` attributes.

    In both, values are wrapped by type as in OTLP/JSON.

    Raises:
        RecordError: A value is nested too deeply or of an unknown type, or an id has a wrong length.
    """
    members = attributes(record.attributes)
    integrity: Content = {}
    if INTEGRITY in "\n".join(members):  # one search, not one for each key: few records are signed
        integrity = {key: members.pop(key) for key in list(members) if key.startswith(INTEGRITY)}
    result: Content = {
        "attributes": members,
        "eventName": record.event_name,
        "observedTimeUnixNano": str(record.observed_time_unix_nano),
        "timeUnixNano": str(record.time_unix_nano),
    }
    # A Collector cannot keep an absent body: it sends one without content.
    if record.body.WhichOneof("value") is not None:
        result["body"] = _wrap(record.body, DEPTH)
    if trace_id := record.trace_id:
        result["traceId"] = _hex(trace_id, "trace_id", 16)
    if span_id := record.span_id:
        result["spanId"] = _hex(span_id, "span_id", 8)
    if flags := record.flags:
        result["flags"] = flags
    return result, integrity


def attributes(pairs: Iterable[KeyValue]) -> Content:
    """Return attributes as a JSON object. The last value of a duplicate key counts, as the draft says.

    Raises:
        RecordError: A value is nested too deeply or of an unknown type.
    """
    return _members(pairs, DEPTH)


def encode(value: Any) -> bytes:  # noqa: ANN401  a JSON value
    """Encode a JSON value as RFC 8785 requires.

    orjson is about twenty times faster than the rfc8785 library and differs in two respects: the form of a
    double, and the order of keys, which it sorts by code point and RFC 8785 by UTF-16 code unit. The orders
    differ only beyond the basic multilingual plane. Where either could matter, rfc8785 encodes.

    Raises:
        RecordError: A string holds a lone surrogate.
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if b'"doubleValue"' in text or (not text.isascii() and _NON_BMP.search(text)):
            return rfc8785.dumps(value)
    except (TypeError, rfc8785.CanonicalizationError) as error:
        raise RecordError(f"the record has no canonical form: {error}. Send well-formed Unicode") from error
    return text


def canonical_form(record: LogRecord) -> bytes:
    """Return the canonical form of a record.

    Raises:
        RecordError: The record has no canonical form: see `content` and `encode`.
    """
    return encode(content(record)[0])


def integrity_hash(record: LogRecord) -> str:
    """Return the record's `IntegrityHash`: SHA-256 of its canonical form, in lower-case hexadecimal.

    Raises:
        RecordError: The record has no canonical form.
    """
    return hashlib.sha256(canonical_form(record)).hexdigest()


def unwrap(value: Content) -> Any:  # noqa: ANN401  a JSON value
    """Return a wrapped value as plain JSON: text, numbers, lists, objects.

    Bytes stay base64 text. An integer is an int again. NaN and the infinities stay strings.
    """
    for kind, inner in value.items():
        if kind == "kvlistValue":
            return {
                key: text if (text := item.get("stringValue")) is not None else unwrap(item)
                for key, item in inner["values"].items()
            }
        if kind == "arrayValue":
            return [unwrap(item) for item in inner["values"]]
        if kind == "intValue":
            return int(inner)
        if kind == "doubleValue":
            return inner if isinstance(inner, str) else float(inner) + 0.0  # JCS has no negative zero
        return inner
    return None


def _wrap(value: AnyValue, depth: int) -> Content:  # noqa: PLR0911  one return for each kind
    kind = value.WhichOneof("value")
    if depth == 0:
        raise RecordError(f"values are nested more than {DEPTH} levels deep: flatten the body")
    if kind == "string_value":
        return {"stringValue": value.string_value}
    if kind == "int_value":
        number = value.int_value
        return {"intValue": number if -SAFE_INTEGER <= number <= SAFE_INTEGER else str(number)}
    if kind == "bool_value":
        return {"boolValue": value.bool_value}
    if kind == "double_value":
        return {"doubleValue": _double(value.double_value)}
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
    if kind == "array_value":
        return {"arrayValue": {"values": [_wrap(item, depth - 1) for item in value.array_value.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": _members(value.kvlist_value.values, depth - 1)}}
    if kind is None:
        return {}
    raise RecordError(f"OTLP does not allow a value of the kind {kind} in a log record")


def _members(pairs: Iterable[KeyValue], depth: int) -> Content:
    # Most values are non-empty strings: recognizing these first saves a WhichOneof call.
    return {
        pair.key: {"stringValue": text}
        if (text := (value := pair.value).string_value)
        else _wrap(value, depth)
        for pair in pairs
    }


def _double(number: float) -> float | str:
    """Return a float; NaN and the infinities as strings, as in the protobuf JSON mapping."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _hex(value: bytes, name: str, length: int) -> str:
    if len(value) != length:
        raise RecordError(f"{name} has {len(value)} bytes, it must have {length}: send all of them or none")
    return value.hex()
