"""A running Collector, clients that send to it, and the servers behind it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.server
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import CollectorProcess
from assay.cli._free_ports import free_address
from assay.host import Host, HostConfig

TOKEN = "the-collector's-token"
HOST_TOKEN = "the-host's-token"
ROUTES = ("traces", "logs", "cdevents")


@pytest.fixture
def make_collector(collector_binary, addresses, tmp_path) -> Iterator[Callable[..., CollectorProcess]]:
    """Return a function that creates a Collector of a composition; stop the started ones after the test."""
    made: list[CollectorProcess] = []

    def make(composition: str, *, configs: tuple[Path, ...] = (), **environment: str) -> CollectorProcess:
        collector = CollectorProcess(
            collector_binary.path,
            [*COMPOSITIONS[composition].paths, *configs],
            addresses=addresses,
            storage=tmp_path / "queue",
            log=tmp_path / "collector.log",
            environment={
                "ASSAY_AUDIT_TOKEN": TOKEN,
                "ASSAY_HOST_TOKEN": HOST_TOKEN,
                "ASSAY_HOST_AUDIT_TOKEN": HOST_TOKEN,
                # Nothing listens on port 1, so data for it stays in the queue.
                "ASSAY_HOST_GRPC_ENDPOINT": "127.0.0.1:1",
                "ASSAY_HOST_HTTP_ENDPOINT": "http://127.0.0.1:1",
                "ASSAY_COLLECTOR_TRACES_WAIT": "1s",
                "ASSAY_COLLECTOR_TRACES_WAIT_AFTER_ROOT": "1s",
                **environment,
            },
        )
        made.append(collector)
        return collector

    yield make
    for collector in made:
        collector.stop()


@pytest.fixture
def metrics_address() -> str:
    """Return the address of the host's metrics exporter."""
    with contextlib.ExitStack() as reserved:
        return free_address(reserved)


@pytest.fixture
def host(tmp_path, metrics_address) -> Iterator[tuple[str, dict[str, Path]]]:
    """Run the real exporter host; yield its gRPC address and the file of each route's batches."""
    files = {name: tmp_path / f"{name}.jsonl" for name in ROUTES}
    listener = {"protocol": "grpc", "address": "127.0.0.1:0", "peer": "collector"}
    config = HostConfig.model_validate(
        {
            "listeners": [{"name": "collector", "auth": {"bearer": HOST_TOKEN}, **listener}],
            "health": None,
            "exporters": {
                "metrics": {
                    "type": "metrics",
                    "database": str(tmp_path / "metrics.db"),
                    "address": metrics_address,
                },
                **{name: {"type": "otlp-lines", "path": str(file)} for name, file in files.items()},
            },
        }
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> Host:
        made = Host(config)
        await made.start()
        return made

    running = asyncio.run_coroutine_threadsafe(make(), loop).result(30)
    name, port = running.addresses["collector"]
    yield f"{name}:{port}", files
    asyncio.run_coroutine_threadsafe(running.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class AuditSink(http.server.ThreadingHTTPServer):
    """A server for a Collector's audit records, which stores the requests and their headers."""

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(address, _AuditHandler)
        self.paths: set[str] = set()
        self.authorizations: set[str] = set()
        self.exporters: set[str] = set()
        self.requests: list[ExportLogsServiceRequest] = []

    @property
    def url(self) -> str:
        """Return the endpoint for the configuration."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def records(self) -> list[str]:
        """Return the event names of all received records."""
        return [
            record.event_name
            for request in list(self.requests)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


class _AuditHandler(http.server.BaseHTTPRequestHandler):
    server: AuditSink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.add(self.path)
        self.server.authorizations.add(self.headers["authorization"])
        self.server.exporters.add(self.headers["assay-exporter"])
        self.server.requests.append(ExportLogsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def audit_sink(port: int = 0) -> Iterator[AuditSink]:
    sink = AuditSink(("127.0.0.1", port))
    thread = threading.Thread(target=sink.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield sink
    finally:
        sink.shutdown()
        thread.join()
        sink.server_close()


@pytest.fixture
def sink() -> Iterator[AuditSink]:
    with audit_sink() as running:
        yield running


def audit_request(*event_names: str) -> bytes:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for name in event_names:
        records.add(event_name=name, time_unix_nano=time.time_ns(), observed_time_unix_nano=time.time_ns())
    return request.SerializeToString()


def post(
    url: str, body: bytes, *, token: str | None = None, context: ssl.SSLContext | None = None
) -> tuple[int, str]:
    """Post protobuf; return the response's status and body."""
    headers = {"content-type": "application/x-protobuf"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body, headers)
    handlers = [urllib.request.ProxyHandler({})]
    if context:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def get(url: str, accept: str = "text/plain") -> str:
    request = urllib.request.Request(url, headers={"accept": accept})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return answer.read().decode()


def eventually(found: Callable[[], object], seconds: float = 60) -> object:
    """Call a function until its result is true; return that result."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.1)
    pytest.fail(f"no result within {seconds:g} seconds")


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def tools() -> object:
    """Return the functions of this file to test modules, which cannot import it."""
    import types

    return types.SimpleNamespace(
        TOKEN=TOKEN,
        HOST_TOKEN=HOST_TOKEN,
        audit_sink=audit_sink,
        audit_request=audit_request,
        post=post,
        get=get,
        eventually=eventually,
        lines=lines,
    )
