"""Open ten thousand connections to the exporter host, and measure what senders and probes notice.

    .venv/bin/python -m benchmarks.connections --count 10000

The connections send nothing. They come from several loopback addresses, because one address has fewer ports.
The host may open as many files as the system permits, so that it keeps them all. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import full_load
from benchmarks.full_host import TOKENS, FullHost, running

ADDRESSES = 8
REQUESTS = 50
HTTP_OF_FIVE = 3
"""Connections of five that go to the HTTP listener; the others go to the gRPC listener."""


def main() -> None:
    """Open the connections, and print the figures with and without them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connections", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    count = parser.parse_args().count
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), files=files, connections=count) as host,
        contextlib.ExitStack() as opened,
    ):
        before = _figures(host)
        start = time.perf_counter()
        clients = [_connect(opened, host, number) for number in range(count)]
        seconds = time.perf_counter() - start
        with_all = _figures(host)
        print(
            json.dumps(
                {
                    "connections": count,
                    "seconds_to_open": round(seconds, 2),
                    "without": before,
                    "with": with_all,
                    "open_at_the_end": sum(map(_is_open, clients)),
                },
                indent=2,
            )
        )


def _connect(opened: contextlib.ExitStack, host: FullHost, number: int) -> socket.socket:
    name, _, port = host.addresses["http" if number % 5 < HTTP_OF_FIVE else "grpc"].rpartition(":")
    source = (f"127.0.0.{2 + number % ADDRESSES}", 0)
    return opened.enter_context(
        socket.create_connection((name, int(port)), timeout=60, source_address=source)
    )


def _is_open(client: socket.socket) -> bool:
    """Return whether the host has left a connection open; a gRPC server greets its clients."""
    client.setblocking(False)
    try:
        return client.recv(1000) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _figures(host: FullHost) -> dict[str, Any]:
    audit = full_load.http_sender(host, "/v1/audit", TOKENS["auditor"], full_load.audit_records)
    return {
        "memory_mib": round(host.memory() / 2**20, 1),
        "health_ms": _median_ms(host.health_seconds),
        "audit_ms": _median_ms(lambda: _timed(audit)),
    }


def _median_ms(measure: Callable[[], float]) -> float:
    return round(statistics.median(measure() for _ in range(REQUESTS)) * 1000, 1)


def _timed(send: full_load.Send) -> float:
    start = time.perf_counter()
    answer = send()
    assert answer == "200", answer
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
