"""Serve `/metrics` on an address of its own, on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from hmac import compare_digest
from typing import TypeAlias

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from assay.host import LimitSettings
from assay.host.http_server import listen

SCRAPER_HEADER = "x-prometheus-scrape-timeout-seconds"
"""Prometheus and the agents built on it send it with each scrape; a person's browser does not."""
CONNECTIONS = 64
STOP_SECONDS = 5.0

Page: TypeAlias = Callable[[str, bool], tuple[bytes, str]]
"""Takes the header `Accept` and whether Prometheus asks; returns the page and its content type."""

_log = logging.getLogger("assay.metrics")


class MetricsEndpoint:
    """An HTTP server for one page.

    Args:
        address: `host:port` to listen on; port 0 takes any free port.
        page: Returns the page. It is called for one request at a time.
        token: Bearer token that a request must present, if any.

    Attributes:
        address: Where it listens: (host, port).

    Raises:
        StartError: The address cannot be bound.
    """

    def __init__(self, address: str, page: Page, token: SecretStr | None = None) -> None:
        self._page = page
        self._credentials = f"Bearer {token.get_secret_value()}".encode() if token else None
        app = Starlette(routes=[Route("/metrics", self._respond, methods=["GET"])])
        limits = LimitSettings(connections=CONNECTIONS, stop_timeout=STOP_SECONDS)
        self._server = listen("metrics", address, app, limits)
        self.address = self._server.address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="assay-metrics", daemon=True)

    def start(self) -> None:
        """Start to answer requests."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()

    def stop(self) -> None:
        """Answer the requests in progress, then close the address."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _respond(self, request: Request) -> Response:
        if self._credentials is not None:
            presented = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
            if not compare_digest(presented, self._credentials):
                return PlainTextResponse("send the bearer token\n", 401, {"www-authenticate": "Bearer"})
        # On the event loop, so that at most one page is in memory.
        try:
            body, content_type = self._page(
                request.headers.get("accept", ""), SCRAPER_HEADER in request.headers
            )
        except Exception:  # noqa: BLE001  whatever failed, the next scrape must be answered
            _log.exception("cannot answer a scrape")
            return PlainTextResponse("the series cannot be read: see the log of the exporter host\n", 503)
        return Response(body, headers={"content-type": content_type})
