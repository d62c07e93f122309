"""A receiver of CDEvents over HTTP, for tests and for users who want to see what is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents.errors import InvalidEvent

LARGEST = 4 * 1024 * 1024
"""Bytes of the largest request that is read."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request.

    Args:
        document: The structured CloudEvent, or bare CDEvent, as it came; empty when the request carried none.
        event: The CDEvent in it; empty when it is not valid.
        fault: Why it is not valid; empty: it is.
    """

    document: dict[str, Any]
    event: dict[str, Any]
    fault: str = ""


class Receiver(ThreadingHTTPServer):
    """Listens on loopback and hands each event on, checked. Valid events are answered 204, others 400.

    Args:
        port: 0 takes a free one; see `server_port`.
        on_event: Called for each event, from the thread of its request.
    """

    daemon_threads = True

    def __init__(self, port: int, on_event: Callable[[Received], None]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.on_event = on_event


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: Receiver  # pyright: ignore[reportIncompatibleVariableOverride]  made by Receiver alone

    def do_POST(self) -> None:
        """Take one event."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._answer(411, "send a Content-Length")
        elif len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            self._answer(413, f"larger than {LARGEST} bytes")
        elif len(body := self.rfile.read(int(length))) < int(length):
            # The sender has gone in the middle of it; it will send the whole again.
            self.close_connection = True
        else:
            received = read(dict(self.headers.items()), body)
            # The answer first: who stops at this event leaves no sender without one.
            self._answer(400 if received.fault else 204, received.fault)
            self.server.on_event(received)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  http.server's signature
        """Say nothing: what came is handed on."""

    def _answer(self, status: int, reason: str) -> None:
        body = json.dumps({"error": reason}).encode() if reason else b""
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        if status != 204:  # noqa: PLR2004  RFC 9110: No Content has no length
            self.send_header("Content-Length", str(len(body)))
        if status in {411, 413}:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def read(headers: dict[str, str], body: bytes) -> Received:
    """Return what a request carries, checked."""
    try:
        document = cloudevents.received(headers, body)
    except InvalidEvent as error:
        return Received({}, {}, str(error))
    return checked(document)


def checked(document: dict[str, Any]) -> Received:
    """Return a structured CloudEvent with what is wrong with it."""
    try:
        return Received(document, cloudevents.check(document))
    except InvalidEvent as error:
        return Received(document, {}, str(error))
