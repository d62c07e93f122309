"""From the bytes of a request to a message, within the limits on size and depth."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any, NamedTuple, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.host import otlp_json
from assay.host.exporter import Encoding, Request, Signal
from assay.host.refusal import Refusal, Undecodable

PROTOBUF_DEPTH = 101  # of the protobuf library, the outermost message counted; a deeper one does not parse
REQUESTS: dict[Signal, type[Request]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
    "audit": ExportLogsServiceRequest,
}


class Received(NamedTuple):
    """A request's body as it came over the wire."""

    signal: Signal
    body: bytes
    encoding: Encoding
    gzip: bool


def decode(received: Received, *, body_bytes: int, depth: int) -> tuple[Request, bytes]:
    """Decompress and parse.

    Args:
        received: The body and what it is said to be.
        body_bytes: How long it may be when decompressed.
        depth: How many messages may be nested in one another, the request itself counted; at most 100.

    Returns:
        The request, and the bytes that it was parsed from.

    Raises:
        Undecodable: With 400 or 413, saying what does not hold.
    """
    try:
        payload = decompress(received.body, body_bytes) if received.gzip else received.body
        if received.encoding == "json":
            return otlp_json.decode(payload, REQUESTS[received.signal], depth), payload
        return _parse(payload, REQUESTS[received.signal], depth), payload
    except Refusal as refusal:
        raise Undecodable(refusal.status, refusal.reason, payload=received.body) from refusal
    except otlp_json.TooDeepError as error:
        raise Undecodable(400, _too_deep(depth), payload=received.body) from error
    except otlp_json.MalformedError as error:
        raise Undecodable(400, f"not an OTLP/JSON request: {error}", payload=received.body) from error
    except DecodeError as error:
        reason = _too_deep(depth) if "MaxDepth" in str(error) else _malformed(received.signal, error)
        raise Undecodable(400, reason, payload=received.body) from error


def decompress(body: bytes, at_most: int) -> bytes:
    """Undo gzip, and stop as soon as the result is longer than it may be (RFC 1952, one member).

    Raises:
        Refusal: 400, it is no gzip; 413, it is too long.
    """
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        payload = stream.decompress(body, at_most + 1)
    except zlib.error as error:
        raise Refusal(400, f"the body is said to be gzip and is not: {error}") from error
    if len(payload) > at_most:
        raise Refusal(413, too_long(at_most, "decompressed"))
    if not stream.eof or stream.unused_data:
        raise Refusal(400, "the gzip body ends too early" if not stream.eof else "data follows the gzip body")
    return payload


def too_long(at_most: int, how: str) -> str:
    """What a sender of too long a body is told."""
    return f"the body is longer than {at_most} bytes {how}: send smaller batches, or raise limits.body_bytes"


def _too_deep(depth: int) -> str:
    return f"messages are nested deeper than {depth}: flatten the value, or raise limits.depth (at most 100)"


def _malformed(signal: Signal, error: DecodeError) -> str:
    name = REQUESTS[signal].DESCRIPTOR.name
    return f"not a protobuf {name}: {str(error).rpartition(': ')[2]}"


def _parse(payload: bytes, request: type[Request], depth: int) -> Request:
    """Parse with a limit of our own on the depth.

    The library's limit is fixed. So the bytes are put inside as many messages as use up the difference,
    which costs one copy and leaves the counting to the library's parser.
    """
    spare = PROTOBUF_DEPTH - depth
    if spare <= 0:
        return request.FromString(payload)
    length = len(payload)
    prefix = b"\x12" + _varint(length)
    for _ in range(spare - 1):
        prefix = b"\x0a" + _varint(len(prefix) + length) + prefix
    message: Any = _nested(request).FromString(prefix + payload)
    for _ in range(spare - 1):
        message = message.nested
    return cast("Request", message.request)


@cache
def _nested(request: type[Request]) -> type[Message]:
    """`message Nested { Nested nested = 1; Request request = 2; }`."""
    package = f"assay.host.{request.DESCRIPTOR.name}"
    file = FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3", dependency=[request.DESCRIPTOR.file.name]
    )
    message = file.message_type.add(name="Nested")
    for number, (name, kind) in enumerate(
        {"nested": f"{package}.Nested", "request": request.DESCRIPTOR.full_name}.items(), start=1
    ):
        message.field.add(
            name=name,
            number=number,
            type_name=f".{kind}",
            type=FieldDescriptorProto.TYPE_MESSAGE,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.Default()
    pool.Add(file)  # pyright: ignore[reportUnknownMemberType]  (stub without types)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Nested"))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004  seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
