"""Serve an ASGI application on one address, with limits that uvicorn does not have.

This module limits the size of the headers, the time for receiving them, the time
for a whole request, and the time that an idle connection stays open. `_otlp_http` limits the size of a body
and the time for receiving it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import h11
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from assay.host._settings import LimitSettings, TLSSettings
from assay.host._sockets import LimitedSocket

TLS_CLOSE_SECONDS = 1.0


class HttpServer:
    """An HTTP server for one application on one address.

    Args:
        name: The listener's name.
        bound: The listening socket, which limits the number of connections.
        app: The ASGI application.
        limits: The limits that the module docstring lists.
        tls: The server's certificate and key, and the authority that must have issued client certificates.
    """

    def __init__(
        self,
        name: str,
        bound: LimitedSocket,
        app: ASGIApp,
        limits: LimitSettings,
        *,
        tls: TLSSettings | None = None,
    ) -> None:
        self.name = name
        self._socket = bound
        host, port = self._socket.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        self._server = _Server(_configure(app, limits, tls))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to accept connections."""
        self._task = asyncio.create_task(
            self._server.serve(sockets=[self._socket]), name=f"listener {self.name}"
        )
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.001)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Stop accepting connections; return when the requests in progress are answered or time out."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    """A uvicorn server without signal handlers: the host handles signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _configure(app: ASGIApp, limits: LimitSettings, tls: TLSSettings | None) -> uvicorn.Config:
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
        if tls.client_ca is not None:
            options |= {"ssl_ca_certs": str(tls.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return uvicorn.Config(
        _date_responses(_limit_headers(app, limits.header_bytes)),
        http=_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=round(limits.idle_timeout) or 1,
        timeout_graceful_shutdown=round(limits.stop_timeout) or 1,
        h11_max_incomplete_event_size=limits.header_bytes,
        **options,
    )


def _protocol(  # noqa: C901  a class in a function, because uvicorn creates the instances
    limits: LimitSettings,
) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP/1.1 protocol with a deadline at all times.

    The deadline changes only when a request begins, when its headers are complete, and when its response is
    complete. Single bytes do not extend it.
    """
    request_seconds = 2 * limits.read_timeout + limits.export_timeout  # body, export, and refused body

    class Bounded(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _idle = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  (as uvicorn's)
            super().connection_made(transport)
            self._set_deadline(limits.read_timeout)

        def data_received(self, data: bytes) -> None:
            between_requests = self.conn.their_state is h11.IDLE
            super().data_received(data)
            if between_requests and self.conn.their_state is not h11.IDLE:
                self._set_deadline(request_seconds)
            elif self._idle:
                self._set_deadline(limits.read_timeout)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.IDLE:
                self._set_deadline(limits.idle_timeout)
                self._idle = True
            elif self.conn.our_state is h11.SEND_RESPONSE:  # the next, pipelined request
                self._set_deadline(request_seconds)

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                super().send_400_response(msg)
            else:  # a response has been sent already
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            super().shutdown()
            # A TLS peer that sends no close_notify would otherwise block the stop.
            if self.transport.is_closing():
                self._set_deadline(TLS_CLOSE_SECONDS)

        def _set_deadline(self, seconds: float) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            self._idle = False
            # Not `close`, which waits until the peer has read all that was sent.
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    return Bounded


def _limit_headers(app: ASGIApp, header_bytes: int) -> ASGIApp:
    """Return the application with a limit on the size of a request's headers.

    h11 limits headers only while they are incomplete.
    """

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        size = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size <= header_bytes:
            await app(scope, receive, send)
        else:
            headers = {"connection": "close"}
            response = PlainTextResponse(f"the headers are longer than {header_bytes} bytes", 431, headers)
            await response(scope, receive, send)

    return limited


def _date_responses(app: ASGIApp) -> ASGIApp:
    """Return the application with the header `Date` (RFC 9110 section 6.6.1) on each response.

    Senders of audit records compare their clock with it. That of uvicorn is seconds old if the process did
    not get a processor.
    """

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"date", formatdate(usegmt=True).encode())]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_dated)

    return dated
