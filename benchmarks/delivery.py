"""Measure the delivery of a CDEvent over HTTP against `http.client` with the bytes of the same request.

The receiver runs in a process of its own, so the figures are the sender's processor time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

import requests

from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents._http_sink import HTTPSettings, HTTPSink
from assay.exporters.cdevents._outbox import OutboxEntry
from benchmarks.row import Row

EVENTS = 1000
BOUND = 5.0
_EVENT = {
    "context": {
        "specversion": "0.5.1",
        "id": "1",
        "source": "/orders",
        "type": "dev.cdevents.taskrun.started.0.3.0",
        "timestamp": "2026-01-01T00:00:00Z",
    },
    "subject": {"id": "run/orders", "content": {"taskName": "orders"}},
}
_RECEIVER = """
import socket, threading

def answer(connection):
    while data := connection.recv(65536):
        while not data.endswith(b"}"):  # headers and body may arrive separately
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")

server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of deliveries and prepared requests.

    Returns:
        Processor time of the HTTP sink ÷ processor time of `http.client`.
    """
    document = json.dumps(cloudevents.envelope(_EVENT), separators=(",", ":"))
    entry = OutboxEntry("s", "1", "t", "x", "", document)
    with _receiver() as url:
        sink = HTTPSink(HTTPSettings(type="http", url=url))
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        body, headers = document.encode(), {"content-type": cloudevents.STRUCTURED}

        def send_prepared() -> None:
            connection.request("POST", "/", body, headers)
            connection.getresponse().read()

        def send_by_requests() -> None:
            session.post(url, data=body, headers=headers)

        def send_by_sink() -> None:
            sink.send([entry])

        senders = (send_by_sink, send_prepared, send_by_requests)
        with contextlib.closing(sink), contextlib.closing(connection), requests.Session() as session:
            times = [[_seconds(send) for send in senders] for _ in range(rounds)]
    ratio = statistics.median(ours / floor for ours, floor, _ in times)
    ours, floor, peer = (statistics.median(column) / EVENTS * 1e6 for column in zip(*times, strict=True))
    note = f"http.client: {floor:.0f} µs an event; sink {ours:.0f} µs, requests {peer:.0f} µs"
    return [Row("CDEvent over HTTP", ratio, BOUND, "at most", rounds, note)]


def _seconds(send: Callable[[], None]) -> float:
    send()
    start = time.process_time()
    for _ in range(EVENTS):
        send()
    return time.process_time() - start


@contextlib.contextmanager
def _receiver() -> Generator[str]:
    process = subprocess.Popen([sys.executable, "-c", _RECEIVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
