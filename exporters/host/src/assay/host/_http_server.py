"""Serve an ASGI application on one address, with limits that uvicorn does not have.

This module limits the number of connections, the size of the headers, the time for receiving them, and the
time that an idle connection stays open. `_otlp_http` limits the size of a body and the time for receiving it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from assay.host._settings import LimitSettings, TLSSettings
from assay.host._sockets import bind

TLS_CLOSE_SECONDS = 1.0


class HttpServer:
    """An HTTP server for one application on one address.

    Args:
        name: The listener's name.
        address: `host:port`.
        app: The ASGI application.
        limits: The limits that the module docstring lists.
        tls: The server's certificate and key, and the authority that must have issued client certificates.

    Raises:
        StartError: The address cannot be bound.
    """

    def __init__(
        self, name: str, address: str, app: ASGIApp, limits: LimitSettings, *, tls: TLSSettings | None = None
    ) -> None:
        self.name = name
        self._address = address
        self._socket = bind(name, address)
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
        app,
        http=_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=round(limits.idle_timeout) or 1,
        timeout_graceful_shutdown=round(limits.stop_timeout) or 1,
        h11_max_incomplete_event_size=limits.header_bytes,
        **options,
    )


def _protocol(  # noqa: C901  a class in a function, because uvicorn creates the instances
    limits: LimitSettings,
) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP/1.1 protocol with limits on connections and on the time for receiving headers."""

    class Bounded(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  (as uvicorn's)
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.close()
                return
            self._start_deadline()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._cancel_deadline()
            elif self._deadline is None:
                self._start_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_deadline()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            super().shutdown()
            # A TLS peer that sends no close_notify would otherwise block the stop.
            if self.transport.is_closing():
                self.loop.call_later(TLS_CLOSE_SECONDS, self.transport.abort)

        def _start_deadline(self) -> None:
            self._deadline = self.loop.call_later(limits.read_timeout, self._expired)

        def _expired(self) -> None:
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

        def _cancel_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Bounded
