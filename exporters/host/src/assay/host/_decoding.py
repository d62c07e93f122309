"""Decode the body of a request into an OTLP message, within the limits on size and depth."""

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
from assay.host._expansion import PROTOBUF_DEPTH, TooManyError, check_json, check_protobuf
from assay.host._refusal import Refusal, Undecodable
from assay.host._settings import LimitSettings
from assay.host.exporter import Encoding, Request, Signal

REQUEST_TYPES: dict[Signal, type[Request]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
    "audit": ExportLogsServiceRequest,
}


class RequestBody(NamedTuple):
    """The body of a request as received, and the form that its headers announce."""

    signal: Signal
    data: bytes
    encoding: Encoding
    gzip: bool


def decode(body: RequestBody, limits: LimitSettings) -> tuple[Request, bytes]:
    """Decompress and parse a body.

    Args:
        body: The body as received.
        limits: Its limits on length, nesting and the number of messages.

    Returns:
        The request, and the decompressed bytes that it was parsed from.

    Raises:
        Undecodable: 400: the body is not a valid request; 413: it is too long, or has too many messages.
    """
    payload, request, depth = body.data, REQUEST_TYPES[body.signal], limits.depth
    try:
        if body.gzip:
            payload = decompress(payload, limits.body_bytes)
        if body.encoding == "json":
            check_json(payload, limits.messages)
            return otlp_json.decode(payload, request, depth), payload
        check_protobuf(payload, request.DESCRIPTOR, limits.messages)
        return _parse(payload, request, depth), payload
    except Refusal as refusal:
        raise Undecodable(refusal.status, refusal.reason, payload=body.data) from refusal
    except TooManyError as error:
        raise Undecodable(413, _too_many(limits.messages), payload=body.data) from error
    except otlp_json.TooDeepError as error:
        raise Undecodable(400, _too_deep(depth), payload=body.data) from error
    except otlp_json.MalformedError as error:
        raise Undecodable(400, f"not an OTLP/JSON request: {error}", payload=body.data) from error
    except DecodeError as error:
        raise Undecodable(400, _parse_failure(payload, body.signal, depth), payload=body.data) from error


def decompress(body: bytes, at_most: int) -> bytes:
    """Decompress gzip data of one member (RFC 1952), and stop when the result exceeds `at_most` bytes.

    Raises:
        Refusal: 400: the data is not valid gzip; 413: the result is too long.
    """
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        payload = stream.decompress(body, at_most + 1)
    except zlib.error as error:
        raise Refusal(400, f"the body is not valid gzip: {error}") from error
    if len(payload) > at_most:
        raise Refusal(413, too_long(at_most, "decompressed"))
    if not stream.eof or stream.unused_data:
        raise Refusal(400, "the gzip body is incomplete" if not stream.eof else "data follows the gzip body")
    return payload


def too_long(at_most: int, form: str) -> str:
    """Return the reason for the refusal of a body that is too long.

    Args:
        at_most: The limit in bytes.
        form: The form of the body that exceeds it: "as sent" or "decompressed".
    """
    return f"the body is longer than {at_most} bytes {form}: send smaller batches, or raise limits.body_bytes"


def _too_deep(depth: int) -> str:
    return f"messages are nested deeper than {depth}: flatten the value, or raise limits.depth (at most 100)"


def _too_many(at_most: int) -> str:
    return f"the request has more than {at_most} messages: send smaller batches, or raise limits.messages"


def _parse_failure(payload: bytes, signal: Signal, depth: int) -> str:
    """Return why a payload cannot be parsed. Only protobuf from 7.35 distinguishes the causes itself."""
    request = REQUEST_TYPES[signal]
    try:
        request.FromString(payload)
    except DecodeError:
        name = request.DESCRIPTOR.name
        return f"not a protobuf {name}, or messages are nested deeper than {PROTOBUF_DEPTH}"
    return _too_deep(depth)


def _parse(payload: bytes, request: type[Request], depth: int) -> Request:
    """Parse a request with a limit on the nesting depth.

    The library's limit is fixed. This function therefore wraps the bytes in as many messages as make up the
    difference: that costs one copy, and the library's parser does the counting.
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
    """Return the class of `message Nested { Nested nested = 1; Request request = 2; }`."""
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
