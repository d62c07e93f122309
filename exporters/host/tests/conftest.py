"""A real host on real sockets, on its own thread, and exporters whose behaviour a test controls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.routing import Route

from assay.host import Batch, Host, HostConfig, Rejected, Result, Retry, Signal


class CapturingExporter:
    """Stores its batches; clearing `gate` blocks `export`, and `export` raises `error` if it is set."""

    signals: frozenset[Signal] = frozenset({"traces", "metrics", "logs", "audit"})
    made: dict[str, CapturingExporter] = {}  # noqa: RUF012  filled by the host under test

    class Settings(BaseModel, extra="forbid"):
        tag: str

    def __init__(self, settings: Settings) -> None:
        self.batches: list[Batch] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self.reported = ""
        self.closed = False
        type(self).made[settings.tag] = self

    def export(self, batch: Batch) -> Result | None:
        self.gate.wait(30)
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        if batch.signal == "audit" and batch.request is not None:
            return Result(receipts=[{"record_id": str(len(self.batches))}])
        return None

    def shutdown(self) -> None:
        self.closed = True

    def problem(self) -> str:
        return self.reported

    def routes(self) -> list[Route]:
        return [
            Route("/receipts/{name}", lambda request: JSONResponse({"name": request.path_params["name"]}))
        ]


class UndecodableExporter(CapturingExporter):
    """Also accepts undecodable batches."""

    undecodable = True


class TracesOnly(CapturingExporter):
    signals: frozenset[Signal] = frozenset({"traces"})


class LogsOnly(CapturingExporter):
    signals: frozenset[Signal] = frozenset({"logs"})


class Broken(CapturingExporter):
    def __init__(self, settings: CapturingExporter.Settings) -> None:
        raise OSError(f"no room for {settings.tag}")


def http(name: str = "http", **more: Any) -> dict[str, Any]:
    return {"name": name, "protocol": "http", "address": "127.0.0.1:0", **more}


def grpc_(name: str = "grpc", **more: Any) -> dict[str, Any]:
    return {"name": name, "protocol": "grpc", "address": "127.0.0.1:0", **more}


def exporter(tag: str, cls: type = CapturingExporter, **more: Any) -> dict[str, Any]:
    return {"type": f"{cls.__module__}:{cls.__name__}", "tag": tag, **more}


class Running:
    """A running host and its addresses."""

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self.host = host
        self._loop = loop
        self._stopped = False

    def url(self, path: str = "", listener: str = "http", scheme: str = "http") -> str:
        host, port = self.host.addresses[listener]
        return f"{scheme}://{host}:{port}{path}"

    def target(self, listener: str = "grpc") -> str:
        host, port = self.host.addresses[listener]
        return f"{host}:{port}"

    def exporter(self, tag: str = "all") -> CapturingExporter:
        return CapturingExporter.made[tag]

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def stop(self) -> bool | None:
        if self._stopped:
            return None
        self._stopped = True
        return self.call(self.host.stop())


@contextmanager
def running(config: dict[str, Any]) -> Iterator[Running]:
    document = {
        "listeners": [http(), grpc_()],
        "exporters": {"all": exporter("all")},
        "health": None,
        **config,
    }
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        host = Host(HostConfig.model_validate(document))
        host_running = Running(host, loop)
        host_running.call(host.start())
        try:
            yield host_running
        finally:
            for made in CapturingExporter.made.values():
                made.gate.set()
            host_running.stop()
    finally:
        CapturingExporter.made.clear()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Start a host with a configuration; by default it has one exporter and a listener of each protocol."""
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(running(config))


def logs(count: int = 1, name: str = "something.happened") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(count):
        record = records.add(event_name=name, time_unix_nano=1_700_000_000_000_000_000 + number)
        record.attributes.add(key="number").value.int_value = number
    return request


def traces(count: int = 1) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(count):
        spans.add(name="work", trace_id=bytes(range(16)), span_id=number.to_bytes(8, "big"), kind=2)
    return request


def deep(levels: int) -> ExportLogsServiceRequest:
    """Return a request whose body is nested arrays: 5 + 2 * levels messages deep."""
    request = logs()
    value = request.resource_logs[0].scope_logs[0].log_records[0].body
    for _ in range(levels):
        value = value.array_value.values.add()
    value.int_value = 1
    return request


__all__ = ["Rejected", "Retry"]
