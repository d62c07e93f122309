"""Measure the exporter host's processor time beside a Collector's; both receive log records and discard them.

A batch has 512 log records of about 500 bytes. Both processes get the same requests in turn.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from assay.audit.record import to_pairs
from assay.cli._collector.process import Addresses, CollectorProcess
from assay.cli._collector.sources import find_collector
from assay.cli._free_ports import free_address
from assay.host import Batch
from benchmarks.processes import processor_seconds
from benchmarks.row import Row

RECORDS = 512
BATCHES = 500
BOUNDS = {"HTTP": 1.0, "HTTP with gzip": 1.0, "gRPC": 1.4}
_START_SECONDS = 60

Send = Callable[[], None]


class Discard:
    """An exporter that discards its batches."""

    signals = frozenset({"logs"})

    def export(self, batch: Batch) -> None:
        """Discard a batch."""

    def shutdown(self) -> None:
        """Do nothing."""


def run(rounds: int = 5) -> list[Row]:
    """Measure rounds of the host and the Collector.

    Returns:
        Processor time of the host ÷ processor time of the Collector, for HTTP, HTTP with gzip, and gRPC.
    """
    body = _body()
    with (
        tempfile.TemporaryDirectory() as folder,
        _collector(Path(folder)) as peer,
        _host(Path(folder)) as host,
    ):
        pairs = {
            "HTTP": [_http(each.http, body) for each in (host, peer)],
            "HTTP with gzip": [_http(each.http, gzip.compress(body), gzipped=True) for each in (host, peer)],
            "gRPC": [_grpc(each.grpc, body) for each in (host, peer)],
        }
        return [_row(name, (host, peer), senders, rounds) for name, senders in pairs.items()]


class _Receiver:
    """A process and where it listens."""

    def __init__(self, pid: int, http_address: str, grpc_address: str) -> None:
        self.pid = pid
        self.http = http_address
        self.grpc = grpc_address

    def seconds(self, send: Send) -> float:
        """Return the processor time that the process took for the batches."""
        before = processor_seconds(self.pid)
        for _ in range(BATCHES):
            send()
        return processor_seconds(self.pid) - before


def _row(
    name: str,
    receivers: tuple[_Receiver, _Receiver],
    senders: Sequence[AbstractContextManager[Send]],
    rounds: int,
) -> Row:
    with senders[0] as to_host, senders[1] as to_peer:
        sends = (to_host, to_peer)
        for send in sends:
            send()
        pairs = [
            [receiver.seconds(send) for receiver, send in zip(receivers, sends, strict=True)]
            for _ in range(rounds)
        ]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (
        statistics.median(column) / BATCHES / RECORDS * 1e6 for column in zip(*pairs, strict=True)
    )
    note = f"Collector that discards: {theirs:.2f} µs a record; host {ours:.2f} µs, batches of {RECORDS}"
    return Row(f"host beside a Collector, {name}", ratio, BOUNDS[name], "at most", rounds, note)


@contextlib.contextmanager
def _http(address: str, body: bytes, *, gzipped: bool = False) -> Generator[Send]:
    connection = http.client.HTTPConnection(address)
    headers = {"content-type": "application/x-protobuf", **({"content-encoding": "gzip"} if gzipped else {})}

    def send() -> None:
        connection.request("POST", "/v1/logs", body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status  # noqa: PLR2004  OK

    with contextlib.closing(connection):
        yield send


@contextlib.contextmanager
def _grpc(address: str, body: bytes) -> Generator[Send]:
    channel: Any = grpc.insecure_channel(address)
    call = channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
    with channel:
        yield lambda: call(body)


@contextlib.contextmanager
def _collector(folder: Path) -> Generator[_Receiver]:
    binary = find_collector("require")
    assert binary is not None
    addresses = Addresses.free()
    config = {
        "extensions": {"health_check": {"endpoint": addresses.health}},
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": addresses.otlp_grpc},
                    "http": {"endpoint": addresses.otlp_http},
                }
            }
        },
        # The distribution has no exporter that discards. This one drops each batch, because its connection is
        # refused; it does not encode the batch first.
        "exporters": {
            "otlp_grpc": {
                "endpoint": "127.0.0.1:1",
                "tls": {"insecure": True},
                "retry_on_failure": {"enabled": False},
            }
        },
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "fatal"}},
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["otlp_grpc"]}},
        },
    }
    path = folder / "collector.yaml"
    path.write_text(yaml.safe_dump(config))
    storage, log = folder / "queue", folder / "collector.log"
    with CollectorProcess(binary.path, [path], addresses=addresses, storage=storage, log=log) as collector:
        assert collector.pid is not None
        yield _Receiver(collector.pid, addresses.otlp_http, addresses.otlp_grpc)


@contextlib.contextmanager
def _host(folder: Path) -> Generator[_Receiver]:
    with contextlib.ExitStack() as reserved:
        at = {name: free_address(reserved) for name in ("http", "grpc")}
    config = {
        "listeners": [{"name": name, "protocol": name, "address": address} for name, address in at.items()],
        "health": None,
        "exporters": {"discard": {"type": "benchmarks.host:Discard"}},
    }
    path = folder / "host.yaml"
    path.write_text(yaml.safe_dump(config))
    process = subprocess.Popen([sys.executable, "-m", "assay.cli", "serve", "--config", str(path)])
    try:
        _wait_for(at["http"])
        yield _Receiver(process.pid, at["http"], at["grpc"])
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _START_SECONDS
    with socket.socket() as probe:
        while probe.connect_ex((host, int(port))):
            assert time.monotonic() < deadline, "the host did not start"
            time.sleep(0.1)


def _body() -> bytes:
    records = [
        LogRecord(
            time_unix_nano=time.time_ns(),
            observed_time_unix_nano=time.time_ns(),
            event_name="flowstone.materialization.stop",
            trace_id=uuid.uuid4().bytes,
            span_id=uuid.uuid4().bytes[:8],
            attributes=to_pairs(
                {
                    "assay.correlation_id": str(uuid.uuid4()),
                    "flowstone.asset": "orders/daily",
                    "flowstone.run_id": str(uuid.uuid4()),
                    "flowstone.partition": "2026-11-20",
                    "flowstone.description": "figures agree with the ledger " * 6,
                }
            ),
        )
        for _ in range(RECORDS)
    ]
    part = ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[part]).SerializeToString()
