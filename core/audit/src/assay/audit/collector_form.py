"""The canonical form that the Collector's `signing` processor signs, for verification.

The processor (opentelemetry-collector-contrib, `processor/signingprocessor`, README "Signed payload") also
encodes by RFC 8785, and has other members than `assay.audit.canonical`:

- `event_name`, `timestamp`, `observed_timestamp`, `trace_id`, `span_id` and `attributes`, each left out if it
  is empty, and `body`, a string that is not wrapped. Times are decimal strings. A body of another type is not
  covered, so anybody could change it: such a record has no form here.
- Scalar attributes are wrapped by type, and integers are always strings. Lists and maps are not wrapped.

A record that it has signed has neither `audit.integrity.signer` nor `audit.integrity.canonicalization`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.canonical import DEPTH, INTEGRITY, encode
from assay.audit.errors import RecordError


def collector_form(record: LogRecord) -> bytes:
    """Return the bytes that the Collector's `signing` processor signs.

    Raises:
        RecordError: The body is not a string, a value is nested too deeply, or a number has no form in JSON.
    """
    members: dict[str, Any] = {
        "event_name": record.event_name,
        "timestamp": _time(record.time_unix_nano),
        "observed_timestamp": _time(record.observed_time_unix_nano),
        "trace_id": record.trace_id.hex() if any(record.trace_id) else "",
        "span_id": record.span_id.hex() if any(record.span_id) else "",
        "attributes": _members(
            (pair for pair in record.attributes if not pair.key.startswith(INTEGRITY)), DEPTH
        ),
    }
    present = {name: value for name, value in members.items() if value}
    kind = record.body.WhichOneof("value")
    if kind == "string_value":
        present["body"] = record.body.string_value
    elif kind is not None:
        raise RecordError("the Collector's signature covers a body only if it is a string")
    return encode(present)


def _time(nanoseconds: int) -> str:
    return str(nanoseconds) if nanoseconds else ""


def _members(pairs: Iterable[KeyValue], depth: int) -> dict[str, Any]:
    return {pair.key: _value(pair.value, depth) for pair in pairs}


def _value(value: AnyValue, depth: int) -> Any:  # noqa: ANN401, PLR0911  any JSON; one return for each kind
    if depth == 0:
        raise RecordError(f"values are nested more than {DEPTH} levels deep")
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return {"stringValue": value.string_value}
    if kind == "int_value":
        return {"intValue": str(value.int_value)}
    if kind == "bool_value":
        return {"boolValue": value.bool_value}
    if kind == "double_value":
        if not math.isfinite(value.double_value):
            raise RecordError("the Collector's canonical form has no NaN or infinity")
        return {"doubleValue": value.double_value}
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
    if kind == "array_value":
        return [_value(item, depth - 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _members(value.kvlist_value.values, depth - 1)
    return None
