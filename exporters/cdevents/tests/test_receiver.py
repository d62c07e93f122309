"""The receiver, and senders that do not send what they say."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from assay.exporters.cdevents.cloudevents import STRUCTURED, envelope
from assay.exporters.cdevents.receiver import LARGEST, Receiver

from .test_cloudevents import EVENT


@pytest.fixture
def received():
    """Listen, and return what came and a function that sends bytes and reads the answer."""
    came = []
    receiver = Receiver(0, came.append)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def send(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", receiver.server_port), 10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read()

    yield came, send
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def post(body: bytes, length: int | str) -> bytes:
    return (
        f"POST / HTTP/1.1\r\nContent-Type: {STRUCTURED}\r\nContent-Length: {length}\r\n\r\n".encode() + body
    )


def test_an_event_that_a_killed_sender_left_half_sent_is_none(received):
    came, send = received
    body = json.dumps(envelope(EVENT)).encode()
    assert send(post(body[:50], len(body))) == b""
    assert send(post(body, len(body))).startswith(b"HTTP/1.1 204 ")
    assert [(one.event, one.fault) for one in came] == [(EVENT, "")]


@pytest.mark.parametrize("length", [LARGEST + 1, "9" * 5000])
def test_what_is_too_large_is_not_read(received, length):
    came, send = received
    assert send(post(b"", length)).startswith(b"HTTP/1.1 413 ")
    assert came == []
