"""An HTTP server with the host's limits, for an exporter that serves an address of its own."""

from __future__ import annotations

from starlette.types import ASGIApp

from assay.host._http_server import HttpServer
from assay.host._settings import LimitSettings
from assay.host._sockets import bind

__all__ = ["HttpServer", "listen"]


def listen(name: str, address: str, app: ASGIApp, limits: LimitSettings) -> HttpServer:
    """Bind an address and return the server for it, which is not started yet.

    Args:
        name: Its name, for error messages.
        address: `host:port`; port 0 takes any free port.
        app: The ASGI application.
        limits: `connections`, `header_bytes`, `read_timeout`, `idle_timeout` and `stop_timeout` apply.

    Raises:
        StartError: The address cannot be bound.
    """
    return HttpServer(name, bind(name, address, limits.connections), app, limits)
