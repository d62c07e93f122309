from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.audit import AuditProvider, BatchProcessor, DiskQueue, OTLPAuditExporter, _default, set_provider


@dataclass
class Answers:
    """A server's responses in order, of which the last repeats: status, headers, body."""

    script: list[tuple[int, dict[str, str], bytes]]
    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Any]:
    servers = []

    def start(*script: tuple[int, dict[str, str], bytes]) -> Answers:
        answers = Answers(list(script))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers.got.append((dict(self.headers), body))
                status, headers, text = (
                    answers.script.pop(0) if len(answers.script) > 1 else answers.script[0]
                )
                self.send_response_only(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(http)
        answers.url = f"http://127.0.0.1:{http.server_port}/v1/audit"
        return answers

    yield start
    for http in servers:
        http.shutdown()
        http.server_close()


@dataclass
class AppLog:
    """An application's provider, with a queue on disk, and what its endpoint has received."""

    provider: AuditProvider
    answers: Answers

    def records(self) -> list[dict[str, Any]]:
        """Send what waits; return the attributes of each record, and its name and body."""
        assert self.provider.force_flush()
        return [
            {
                "name": record.event_name,
                "body": record.body.string_value,
                **{pair.key: pair.value.string_value for pair in record.attributes},
            }
            for _, body in self.answers.got
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for record in resource.scope_logs[0].log_records
        ]

    def record(self) -> dict[str, Any]:
        (record,) = self.records()
        return record


@pytest.fixture
def app_log(server, tmp_path, monkeypatch) -> Iterator[AppLog]:
    answers = server((200, {"Content-Type": "application/x-protobuf"}, b""))
    processor = BatchProcessor(OTLPAuditExporter(answers.url), DiskQueue(tmp_path / "queue"), delay=0.01)
    provider = AuditProvider(processor, {"service.name": "orders"})
    monkeypatch.setattr(_default, "_provider", None)
    set_provider(provider)
    yield AppLog(provider, answers)
    provider.shutdown()
