"""A receiver for the telemetry of real programs, which run under `opentelemetry-instrument`."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import add_LogsServiceServicer_to_server
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server

REQUESTS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/audit": ExportLogsServiceRequest,
}


@dataclass
class Receiver:
    """The decoded requests that arrived.

    `answers` holds the response for a path (status, headers, body) where it is not an empty 200. The first
    request for a path in `held` is answered when its event is set.
    """

    port: int = 0
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    requests: list[tuple[str, object]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list:
        return [request for got, request in self.requests if got == path]

    def spans(self) -> list:
        return [
            span
            for request in self.of("/v1/traces")
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self, path: str = "/v1/logs") -> list:
        return [
            record
            for request in self.of(path)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def totals(self, prefix: str) -> dict[str, int]:
        """The newest values of counters without labels whose names start with a prefix."""
        return {
            metric.name: (metric.sum if metric.HasField("sum") else metric.gauge).data_points[0].as_int
            for metric in self.metrics()
            if metric.name.startswith(prefix) and not metric.HasField("histogram")
        }

    def metrics(self) -> list:
        return [
            metric
            for request in self.of("/v1/metrics")
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def resources(self) -> list[dict[str, str]]:
        return [
            {
                pair.key: pair.value.string_value or str(pair.value.int_value)
                for pair in spans.resource.attributes
            }
            for request in self.of("/v1/traces")
            for spans in request.resource_spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            got.raw.append(body)
            got.requests.append((self.path, REQUESTS[self.path].FromString(body)))
            if self.path in got.held and len(got.of(self.path)) == 1:
                got.held[self.path].wait(30)
            status, headers, answer = got.answers.get(self.path, (200, {}, b""))
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/x-protobuf",
                "Content-Length": str(len(answer)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def grpc_receiver() -> Iterator[Receiver]:
    """A receiver of OTLP/gRPC; its requests have the paths of OTLP/HTTP."""
    got = Receiver()

    class Service:
        def __init__(self, path: str, response: type) -> None:
            self.path, self.response = path, response

        def Export(self, request: object, context: object) -> object:  # noqa: N802  gRPC's name
            got.requests.append((self.path, request))
            return self.response()

    server = grpc.server(ThreadPoolExecutor(4))
    add_TraceServiceServicer_to_server(Service("/v1/traces", ExportTraceServiceResponse), server)
    add_MetricsServiceServicer_to_server(Service("/v1/metrics", ExportMetricsServiceResponse), server)
    add_LogsServiceServicer_to_server(Service("/v1/logs", ExportLogsServiceResponse), server)
    got.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield got
    server.stop(None).wait()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def instrumented(tmp_path: Path, receiver: Receiver):
    """Run a program under `opentelemetry-instrument`; it sends to the receiver unless `env` sets another."""

    def run(
        source: str, *, env: dict[str, str] | None = None, name: str = "app.py"
    ) -> subprocess.CompletedProcess:
        path = tmp_path / name
        path.write_text(source)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}
        environment = {
            **kept,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "ASSAY_AUDIT_ENDPOINT": f"{receiver.url}/v1/audit",
            "ASSAY_AUDIT_QUEUE_DIRECTORY": str(tmp_path / "audit-queue"),
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "dagster",
            **(env or {}),
        }
        program = Path(sys.executable).with_name("opentelemetry-instrument")
        return subprocess.run(
            [str(program), sys.executable, str(path)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
