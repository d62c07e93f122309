"""OTLP over gRPC (OTLP 1.9, "OTLP/gRPC").

The handlers are declared as streams of bytes, which do not differ on the wire from OTLP's unary calls. The
server can therefore check credentials and capacity before it reads the message, and size and depth before it
parses it. Decompression in the library is off, because the size of the decompressed message must be
limited. A body that begins with 1f 8b is gzip: no protobuf message begins so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
import grpc.aio

from assay.host._authentication import Authentication
from assay.host._decoding import REQUEST_TYPES, RequestBody, too_long
from assay.host._grpc_connections import GrpcConnections, parse_peer
from assay.host._intake import Intake, Origin
from assay.host._refusal import Refusal, unexpected
from assay.host._settings import LimitSettings, ListenerSettings, TLSSettings
from assay.host._sockets import bind
from assay.host.errors import StartError
from assay.host.escaping import escaped
from assay.host.exporter import Signal

logger = logging.getLogger(__name__)

SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
METHODS: dict[str, Signal] = {
    f"/{SERVICE.format('trace', 'Trace')}/Export": "traces",
    f"/{SERVICE.format('metrics', 'Metrics')}/Export": "metrics",
    f"/{SERVICE.format('logs', 'Logs')}/Export": "logs",
}
_Untyped: TypeAlias = Any  # grpcio has no types
_END: _Untyped = grpc.aio.EOF  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
GZIP_MAGIC = b"\x1f\x8b"


class GrpcServer:
    """An OTLP/gRPC server on one address.

    Args:
        listener: The listener's settings.
        intake: Processes the requests.
        connections: Maximum number of open connections.

    Raises:
        StartError: The address cannot be bound.
    """

    def __init__(self, listener: ListenerSettings, intake: Intake, connections: int) -> None:
        self.name = listener.name
        self._settings = listener
        self._intake = intake
        self._server = grpc.aio.server(options=_options(intake.limits, connections))
        self._connections = GrpcConnections(connections)
        self._server.add_generic_rpc_handlers((_Handlers(listener, intake, self._connections),))
        self.address = self._bind()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to accept calls."""
        await self._server.start()
        self._watch = asyncio.create_task(self._connections.watch(self.address[1]))

    async def stop(self) -> None:
        """Stop accepting calls; return when the calls in progress are answered or time out."""
        if self._watch is not None:
            self._watch.cancel()
        await self._server.stop(self._intake.limits.stop_timeout)

    def _bind(self) -> tuple[str, int]:
        address = self._settings.address
        # gRPC does not report why it cannot bind an address; binding a socket first does.
        probe = bind(self.name, address)
        host = probe.getsockname()[0]
        probe.close()
        try:
            if self._settings.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(self._settings.tls))
        except RuntimeError as error:
            raise StartError(f"listener {self.name!r} cannot listen on {address}: {error}") from error
        return host, port


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, listener: ListenerSettings, intake: Intake, connections: GrpcConnections) -> None:
        self._connections = connections
        self._origin = Origin(listener.name, listener.peer)
        self._authentication = Authentication(listener.auth)
        self._intake = intake

    def service(self, handler_call_details: _Untyped) -> _Untyped:
        method: str = handler_call_details.method

        async def call(_: AsyncIterator[bytes], context: _Untyped) -> bytes:
            return await self._call(method, context)

        handler: _Untyped = grpc.stream_unary_rpc_method_handler
        return handler(call)

    async def _call(self, method: str, context: _Untyped) -> bytes:
        metadata: dict[str, Any] = {key: value for key, value in context.invocation_metadata()}  # noqa: C416  not a mapping
        signal = METHODS.get(method)
        if signal == "logs" and metadata.get("assay-signal") == "audit":
            signal = "audit"
        try:
            await self._export(signal, method, metadata, context)
        except Refusal as refusal:
            original = refusal
        except Exception as error:
            logger.exception("listener %s: a call failed", self._origin.listener)
            original = unexpected(error)
        else:
            return b""  # an empty Export…ServiceResponse: everything was accepted
        refusal = self._origin.refusal_for_peer(original, signal)
        details = (("grpc-status-details-bin", refusal.proto().SerializeToString()),)
        code = grpc.StatusCode.UNIMPLEMENTED if signal is None and refusal is original else refusal.code
        await context.abort(code, refusal.reason, details)
        raise AssertionError("abort raises")  # pragma: no cover

    async def _export(
        self, signal: Signal | None, method: str, metadata: dict[str, Any], context: _Untyped
    ) -> None:
        intake = self._intake
        sender = self._authentication.authenticate(metadata.get("authorization"))
        peer = parse_peer(context.peer())
        name = sender.name or peer.machine
        self._connections.authenticated(peer, name)
        if signal is None:
            raise Refusal(404, f"unknown method {escaped(method)!r}; there are {', '.join(METHODS)}")
        sender.require(signal)
        workers = intake.route(signal, metadata.get("assay-exporter"))
        with intake.admit(signal, self._origin, name) as reservation:
            data = await self._read(signal, context)
            reservation.grow(len(data))
            body = RequestBody(signal, data, "protobuf", gzip=data.startswith(GZIP_MAGIC))
            batch = await intake.decode(body, self._origin, reservation)
        await intake.deliver(batch, workers, self._origin)

    async def _read(self, signal: Signal, context: _Untyped) -> bytes:
        limits = self._intake.limits
        try:
            message, end = await asyncio.wait_for(_read_two(context), limits.read_timeout)
        except asyncio.TimeoutError:
            raise Refusal(
                408, f"the message did not arrive within {limits.read_timeout:g} s: send it faster"
            ) from None
        if not isinstance(message, bytes):  # the end of the call
            raise Refusal(400, f"the call has no message: send an {REQUEST_TYPES[signal].DESCRIPTOR.name}")
        if end is not _END:
            raise Refusal(400, "the call has more than one message: send each request in a call of its own")
        if len(message) > limits.body_bytes:
            raise Refusal(413, too_long(limits.body_bytes, "as sent"))
        return message


async def _read_two(context: _Untyped) -> tuple[_Untyped, _Untyped]:
    """Return the message of a call and what follows it: `_END` for a unary call."""
    message = await context.read()
    return message, _END if message is _END else await context.read()


def _options(limits: LimitSettings, connections: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # two hosts must not share a port
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", 0b101),  # identity and gzip
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", limits.body_bytes),
        ("grpc.max_metadata_size", limits.header_bytes),
        ("grpc.absolute_max_metadata_size", limits.header_bytes),
        ("grpc.max_concurrent_streams", limits.concurrent_requests),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.max_connection_idle_ms", round(limits.idle_timeout * 1000)),
        ("grpc.server_handshake_timeout_ms", round(limits.read_timeout * 1000)),
    ]


def _credentials(tls: TLSSettings) -> _Untyped:
    authority = tls.client_ca.read_bytes() if tls.client_ca is not None else None
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        authority,
        require_client_auth=authority is not None,
    )
