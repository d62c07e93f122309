"""The entries of the log and their leaves: records with resource and sink time, and quarantined payloads.

The sink derives the columns of a row with the same functions with which verification derives them again from
the leaf.
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
from assay.proof.tree import leaf_hash
from assay.semconv import attributes as keys

Row = tuple[Any, ...]
Kind = Literal["record", "batch"]

_IP_SOURCES = frozenset({keys.AUDIT_SOURCE_TYPE_IPV4, keys.AUDIT_SOURCE_TYPE_IPV6})
_ABSENT: Content = {}

# Bound once, because `columns` runs for every record.
_CORRELATION_ID = keys.ASSAY_CORRELATION_ID
_ACTION = keys.AUDIT_ACTION
_ACTOR_ID = keys.AUDIT_ACTOR_ID
_ACTOR_TYPE = keys.AUDIT_ACTOR_TYPE
_RECORD_ID = keys.AUDIT_RECORD_ID
_SOURCE_ID = keys.AUDIT_SOURCE_ID
_SOURCE_TYPE = keys.AUDIT_SOURCE_TYPE
_TARGET_ID = keys.AUDIT_TARGET_ID
_TARGET_TYPE = keys.AUDIT_TARGET_TYPE
_USER_AGENT = keys.USER_AGENT_ORIGINAL


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """An invalid record or an unreadable batch, as received.

    Args:
        kind: `record`: the payload is a protobuf `ResourceLogs` with one record; `batch`: the payload could
            not be parsed.
        reason: Why it is in quarantine.
        encoding: Encoding of the payload; of a batch the encoding that the sender declared.
        payload: The whole payload.
        record_id: The `audit.record.id`, None if there is none.
    """

    kind: Kind
    reason: str
    encoding: str
    payload: bytes
    record_id: str | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload: the entry's identity."""
        return hashlib.sha256(self.payload).digest()

    def leaf(self, sink_time: int) -> bytes:
        """Return the content of the entry's leaf, which commits to the payload by its hash."""
        return encode(
            {
                "quarantine": {
                    "encoding": self.encoding,
                    "kind": self.kind,
                    "payloadSha256": self.digest.hex(),
                    "reason": self.reason,
                    "recordId": self.record_id,
                },
                "sinkTimeUnixNano": str(sink_time),
            }
        )

    def first_leaf(self, sink_time: int) -> bytes:
        """Return the leaf of an entry that schema version 1 stored: it contains the payload."""
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
        """Return the entry's row of the table `quarantine`."""
        leaf = self.leaf(sink_time)
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
            leaf.decode(),
            leaf_hash(leaf),
        )


def record_leaf(
    record: bytes, integrity: Content, resource: bytes, sink_time: int, verify_status: str
) -> bytes:
    """Return the content of a record's leaf: an RFC 8785 object, joined from canonical parts, keys in order.

    Args:
        record: Canonical form of the record.
        integrity: The record's `audit.integrity.*` attributes.
        resource: Canonical form of the resource.
        sink_time: When the sink received the record, in ns since 1970.
        verify_status: Result of the verification of the signature; empty for a record without one.
    """
    proof = b'"integrity":' + encode(integrity) + b"," if integrity else b""
    status = b',"verifyStatus":' + encode(verify_status) if verify_status else b""
    return b'{%b"record":%b,"resource":%b,"sinkTimeUnixNano":"%d"%b}' % (
        proof, record, resource, sink_time, status
    )  # fmt: skip


def columns(record: Content, inserted_at: str) -> Row:
    """Return the values of the seed's columns, `flowstone_audit_log`, for a record.

    Args:
        record: Content of the record, from `assay.audit.canonical.content` or from a leaf.
        inserted_at: Sink time, from `timestamp`.
    """
    attributes: dict[str, Content] = record["attributes"]
    get = attributes.get
    body = record.get("body")
    source = get(_SOURCE_TYPE)
    return (
        attributes[_RECORD_ID]["stringValue"],
        record["eventName"],
        attributes[_ACTOR_ID]["stringValue"],
        attributes[_ACTOR_TYPE]["stringValue"],
        get(_TARGET_TYPE, _ABSENT).get("stringValue"),
        get(_TARGET_ID, _ABSENT).get("stringValue"),
        attributes[_ACTION]["stringValue"],
        _details(body) if body else "{}",
        get(_CORRELATION_ID, _ABSENT).get("stringValue") or _trace(record),
        _address(attributes) if source and source.get("stringValue") in _IP_SOURCES else None,
        get(_USER_AGENT, _ABSENT).get("stringValue"),
        inserted_at,
    )


def timestamp(sink_time: int) -> str:
    """Return a time in ns since 1970 as RFC 3339, in UTC, with microseconds."""
    seconds, nanos = divmod(sink_time, 1_000_000_000)
    moment = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos // 1000:06d}Z"


def without_nul(text: str) -> str:
    """Return a text with U+2400 in the place of each NUL, which PostgreSQL cannot store."""
    return text.replace("\0", "\u2400")


def trace_uuid(trace_id: str) -> str:
    """Return a trace id of 32 hexadecimal digits in the form of a UUID, the type of the seed's column."""
    return f"{trace_id[:8]}-{trace_id[8:12]}-{trace_id[12:16]}-{trace_id[16:20]}-{trace_id[20:]}"


def _details(body: Content) -> str:
    return orjson.dumps(unwrap(body), option=orjson.OPT_SORT_KEYS).decode()


def _trace(record: Content) -> str | None:
    trace_id = record.get("traceId")
    return None if trace_id is None else trace_uuid(trace_id)


def _address(attributes: dict[str, Content]) -> str | None:
    """Return the source's id if it is an IP address, else None: the seed's column has the type inet."""
    text = attributes.get(_SOURCE_ID, _ABSENT).get("stringValue", "")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
