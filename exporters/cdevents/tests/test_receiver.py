"""The receiver, with senders whose requests are incomplete or too large."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from assay.exporters.cdevents.cloudevents import STRUCTURED, envelope
from assay.exporters.cdevents.receiver import MAXIMUM_BYTES, Receiver

from .test_cloudevents import EVENT


@pytest.fixture
def received():
    """Listen; return the received events, and a function that sends bytes and returns the answer."""
    events = []
    receiver = Receiver(0, events.append)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def send(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", receiver.server_port), 10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read()

    yield events, send
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def post(body: bytes, length: int | str) -> bytes:
    return (
        f"POST / HTTP/1.1\r\nContent-Type: {STRUCTURED}\r\nContent-Length: {length}\r\n\r\n".encode() + body
    )


def test_an_incomplete_request_is_not_an_event(received):
    events, send = received
    body = json.dumps(envelope(EVENT)).encode()
    assert send(post(body[:50], len(body))) == b""
    assert send(post(body, len(body))).startswith(b"HTTP/1.1 204 ")
    assert [(event.event, event.fault) for event in events] == [(EVENT, "")]


@pytest.mark.parametrize("length", [MAXIMUM_BYTES + 1, "9" * 5000])
def test_a_request_that_is_too_large_is_not_read(received, length):
    events, send = received
    assert send(post(b"", length)).startswith(b"HTTP/1.1 413 ")
    assert events == []
