"""OTLP over gRPC (OTLP 1.9, "OTLP/gRPC").

Calls are taken as streams of bytes, which are the same on the wire as OTLP's unary calls: so credentials
and capacity are checked before a byte of the message is read, and size and depth before it is parsed. The
library is told not to decompress, since what a message becomes has to be bounded: gzip begins with 1f 8b,
and no protobuf message can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from assay.host.authentication import Authentication
from assay.host.decoding import REQUESTS, Received, too_long
from assay.host.errors import StartError
from assay.host.exporter import Signal
from assay.host.intake import Intake, Origin
from assay.host.refusal import Refusal, unexpected
from assay.host.settings import LimitSettings, ListenerSettings, TLSSettings
from assay.host.sockets import bind

logger = logging.getLogger(__name__)

SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
METHODS: dict[str, Signal] = {
    f"/{SERVICE.format('trace', 'Trace')}/Export": "traces",
    f"/{SERVICE.format('metrics', 'Metrics')}/Export": "metrics",
    f"/{SERVICE.format('logs', 'Logs')}/Export": "logs",
}
GZIP_MAGIC = b"\x1f\x8b"


class GrpcServer:
    """One address that takes OTLP/gRPC.

    Args:
        listener: Its settings.
        intake: Where batches go.
    """

    def __init__(self, listener: ListenerSettings, intake: Intake) -> None:
        self.name = listener.name
        self._settings = listener
        self._intake = intake
        self._server = grpc.aio.server(options=_options(intake.limits))
        self._server.add_generic_rpc_handlers((_Handlers(listener, intake),))
        self.address = self._bind()

    async def start(self) -> None:
        """Begin to accept."""
        await self._server.start()

    async def stop(self) -> None:
        """Accept no more, and return when what had begun is answered, or time is up."""
        await self._server.stop(self._intake.limits.stop_timeout)

    def _bind(self) -> tuple[str, int]:
        address = self._settings.address
        # gRPC does not say why it cannot bind; an attempt with a socket does.
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
    def __init__(self, listener: ListenerSettings, intake: Intake) -> None:
        self._origin = Origin(listener.name, listener.peer)
        self._authentication = Authentication(listener.auth)
        self._intake = intake

    def service(self, handler_call_details: Any) -> Any:  # noqa: ANN401  grpcio has no types
        method: str = handler_call_details.method

        async def call(_: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: ANN401  as above
            return await self._call(method, context)

        handler: Any = grpc.stream_unary_rpc_method_handler
        return handler(call)

    async def _call(self, method: str, context: Any) -> bytes:  # noqa: ANN401  as above
        metadata: dict[str, Any] = {key: value for key, value in context.invocation_metadata()}  # noqa: C416  not a mapping
        signal = METHODS.get(method)
        if signal == "logs" and metadata.get("assay-signal") == "audit":
            signal = "audit"
        try:
            await self._take(signal, method, metadata, context)
        except Refusal as refusal:
            answer = refusal
        except Exception as error:
            logger.exception("listener %s: a call failed", self._origin.listener)
            answer = unexpected(error)
        else:
            return b""  # an empty Export…ServiceResponse: everything was accepted
        told = self._origin.told(answer, signal)
        details = (("grpc-status-details-bin", told.proto().SerializeToString()),)
        code = grpc.StatusCode.UNIMPLEMENTED if signal is None and told is answer else told.code
        await context.abort(code, told.reason, details)
        raise AssertionError("abort raises")  # pragma: no cover

    async def _take(self, signal: Signal | None, method: str, metadata: dict[str, Any], context: Any) -> None:  # noqa: ANN401  as above
        intake = self._intake
        sender = self._authentication.check(metadata.get("authorization"))
        if signal is None:
            raise Refusal(404, f"no method {method[:200]!r}; there are {', '.join(METHODS)}")
        sender.check(signal)
        workers = intake.route(signal, metadata.get("assay-exporter"))
        with intake.admit() as slot:
            body = await self._read(signal, context)
            slot.grow(len(body))
            received = Received(signal, body, "protobuf", gzip=body.startswith(GZIP_MAGIC))
            batch = await intake.decode(received, self._origin, slot)
        await intake.deliver(batch, workers, self._origin)

    async def _read(self, signal: Signal, context: Any) -> bytes:  # noqa: ANN401  as above
        limits = self._intake.limits
        try:
            message = await asyncio.wait_for(context.read(), limits.read_timeout)
        except asyncio.TimeoutError:
            raise Refusal(
                408, f"the message did not come within {limits.read_timeout:g} s: send it faster"
            ) from None
        if not isinstance(message, bytes):  # grpc.aio.EOF
            raise Refusal(400, f"the call has no message: send an {REQUESTS[signal].DESCRIPTOR.name}")
        if len(message) > limits.body_bytes:
            raise Refusal(413, too_long(limits.body_bytes, "as sent"))
        return message


def _options(limits: LimitSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # two hosts on one port are a mistake
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", 0b101),  # identity and gzip
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", limits.body_bytes),
        ("grpc.max_metadata_size", limits.header_bytes),
        ("grpc.absolute_max_metadata_size", limits.header_bytes),
        ("grpc.max_concurrent_streams", limits.concurrent_requests),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_connection_idle_ms", round(limits.idle_timeout * 1000)),
        ("grpc.server_handshake_timeout_ms", round(limits.read_timeout * 1000)),
    ]


def _credentials(tls: TLSSettings) -> Any:  # noqa: ANN401  grpcio has no types
    authority = tls.client_ca.read_bytes() if tls.client_ca is not None else None
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        authority,
        require_client_auth=authority is not None,
    )
