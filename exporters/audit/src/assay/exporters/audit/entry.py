"""What becomes a leaf: a record with its resource and the sink's timestamp, or an entry in quarantine.

Ingestion makes the columns with the functions that verification makes them with again, from the leaf.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from assay.audit.canonical import Content, encode, unwrap
from assay.exporters.audit.tree import leaf_hash

Row = tuple[Any, ...]
Kind = Literal["record", "batch"]

_EMPTY = b"{}"
_IP = frozenset({"ipv4", "ipv6"})
_NONE: Content = {}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that does not hold, as it came.

    Args:
        kind: `record`: the payload is a protobuf `ResourceLogs` with the one record; `batch`: it is bytes
            that nobody could read.
        reason: What is wrong with it.
        encoding: What the payload is written in, or was said to be.
        payload: The whole of it.
        record_id: Its `audit.record.id`, where one can be made out.
    """

    kind: Kind
    reason: str
    encoding: str
    payload: bytes
    record_id: str | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload: its identity."""
        return hashlib.sha256(self.payload).digest()

    def leaf(self, sink_time: int) -> bytes:
        """Return the leaf's content."""
        return encode(
            {
                "quarantine": {
                    "encoding": self.encoding,
                    "kind": self.kind,
                    "payload": base64.b64encode(self.payload).decode(),
                    "reason": self.reason,
                    "recordId": self.record_id,
                },
                "sinkTimeUnixNano": str(sink_time),
            }
        )

    def row(self, index: int, sink_time: int) -> Row:
        """Return the row of the table `quarantine`."""
        return (
            index,
            self.digest,
            self.kind,
            self.record_id,
            self.reason,
            self.encoding,
            self.payload,
            timestamp(sink_time),
            sink_time,
            leaf_hash(self.leaf(sink_time)),
        )


def record_leaf(record: bytes, integrity: Content, resource: bytes, sink_time: int) -> bytes:
    """Return the leaf of a record: an RFC 8785 object, put together from canonical parts, keys in order.

    Args:
        record: The record's canonical form.
        integrity: Its `audit.integrity.*` attributes.
        resource: Canonical form of the resource.
        sink_time: When the sink took it, in ns since 1970.
    """
    proof = b'"integrity":' + encode(integrity) + b"," if integrity else b""
    return b'{%b"record":%b,"resource":%b,"sinkTimeUnixNano":"%d"}' % (proof, record, resource, sink_time)


def columns(record: Content, inserted_at: str) -> Row:
    """Return the seed's columns, `flowstone_audit_log`, of a record's content.

    Args:
        record: As `assay.audit.canonical.content` gives it, or as read from a leaf.
        inserted_at: As `timestamp` gives it.
    """
    attributes: dict[str, Content] = record["attributes"]
    get = attributes.get
    body = record.get("body")
    source = get("audit.source.type")
    return (
        attributes["audit.record.id"]["stringValue"],
        record["eventName"],
        attributes["audit.actor.id"]["stringValue"],
        attributes["audit.actor.type"]["stringValue"],
        get("audit.target.type", _NONE).get("stringValue"),
        get("audit.target.id", _NONE).get("stringValue"),
        attributes["audit.action"]["stringValue"],
        _details(body) if body else "{}",
        get("assay.correlation_id", _NONE).get("stringValue") or _trace(record.get("traceId")),
        _address(attributes) if source and source.get("stringValue") in _IP else None,
        get("user_agent.original", _NONE).get("stringValue"),
        inserted_at,
    )


def timestamp(sink_time: int) -> str:
    """Return a time in ns since 1970 as RFC 3339, in UTC, with microseconds."""
    seconds, nanos = divmod(sink_time, 1_000_000_000)
    moment = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos // 1000:06d}Z"


def _details(body: Content) -> str:
    return orjson.dumps(unwrap(body), option=orjson.OPT_SORT_KEYS).decode()


def _trace(trace_id: str | None) -> str | None:
    """Return a trace id as the seed's column has it, which is of the type uuid."""
    if trace_id is None:
        return None
    return f"{trace_id[:8]}-{trace_id[8:12]}-{trace_id[12:16]}-{trace_id[16:20]}-{trace_id[20:]}"


def _address(attributes: dict[str, Content]) -> str | None:
    """Return the source's address if it is one: the seed's column is of the type inet."""
    text = attributes.get("audit.source.id", _NONE).get("stringValue", "")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
