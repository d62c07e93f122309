"""A receiver of CDEvents over HTTP, for tests and for inspecting sent events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents.errors import InvalidEvent

MAXIMUM_BYTES = 4 * 1024 * 1024
"""Bytes of the largest request that the receiver reads."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """The event of one request, with the result of its validation.

    Args:
        document: The structured CloudEvent, or bare CDEvent, as received; empty if the request carried none.
        event: The CDEvent in it; empty if it is not valid.
        fault: Why it is not valid, or empty.
    """

    document: dict[str, Any]
    event: dict[str, Any]
    fault: str = ""


class Receiver(ThreadingHTTPServer):
    """Listens on loopback, validates each event and passes it on.

    The answer to a valid event is 204, to any other 400.

    Args:
        port: The port; 0 takes a free one, see `server_port`.
        on_event: Called with each event, on the thread of its request.
    """

    daemon_threads = True

    def __init__(self, port: int, on_event: Callable[[ReceivedEvent], None]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.on_event = on_event


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: Receiver  # pyright: ignore[reportIncompatibleVariableOverride]  created by Receiver alone

    def do_POST(self) -> None:
        """Receive one event."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._answer(411, "send a Content-Length")
        elif len(length) > len(str(MAXIMUM_BYTES)) or int(length) > MAXIMUM_BYTES:
            self._answer(413, f"larger than {MAXIMUM_BYTES} bytes")
        elif len(body := self.rfile.read(int(length))) < int(length):
            # The sender disconnected before the end of the body; it will send the event again.
            self.close_connection = True
        else:
            received = read_request(dict(self.headers.items()), body)
            # Answer first: `on_event` may end the program, and the sender needs the answer.
            self._answer(400 if received.fault else 204, received.fault)
            self.server.on_event(received)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  http.server's signature
        """Log nothing: `on_event` gets every event."""

    def _answer(self, status: int, reason: str) -> None:
        body = json.dumps({"error": reason}).encode() if reason else b""
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        if status != 204:  # noqa: PLR2004  a response with No Content must not have a length (RFC 9110, 8.6)
            self.send_header("Content-Length", str(len(body)))
        if status in {411, 413}:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def read_request(headers: dict[str, str], body: bytes) -> ReceivedEvent:
    """Validate the event of a request."""
    try:
        document = cloudevents.from_request(headers, body)
    except InvalidEvent as error:
        return ReceivedEvent({}, {}, str(error))
    return validated(document)


def validated(document: object) -> ReceivedEvent:
    """Validate a structured CloudEvent or a bare CDEvent."""
    try:
        event, fault = cloudevents.check(document), ""
    except InvalidEvent as error:
        event, fault = {}, str(error)
    members = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    return ReceivedEvent(members, event, fault)
