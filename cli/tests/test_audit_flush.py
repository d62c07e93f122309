"""`assay audit flush` sends what applications left on disk, to the endpoint that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

pytestmark = pytest.mark.slow

APPLICATION = """
import os
from assay.distro import initialize

initialize()
from assay.telemetry import execute

for number in range(3):
    execute("flowstone.checkpoint.approved", {"approval_time": 10**9},
            {"approval_id": f"a{number}", "checkpoint": "c", "status": "approved", "reason": "fine"})
os.kill(os.getpid(), 9)
"""


class Endpoint(ThreadingHTTPServer):
    """An audit endpoint; it answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/audit"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        request = ExportLogsServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status == 200:
            self.server.count += sum(
                len(scope.log_records) for part in request.resource_logs for scope in part.scope_logs
            )
        self.send_response(self.server.status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path, endpoint):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}

    def run(*arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            **kept,
            "ASSAY_AUDIT_ENDPOINT": url or endpoint.url,
            "ASSAY_AUDIT_QUEUE_DIRECTORY": str(tmp_path / "queues"),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        return subprocess.run(
            arguments, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def assay() -> str:
    return str(Path(sys.executable).with_name("assay"))


def test_records_of_a_killed_application_are_sent(run, endpoint):
    endpoint.status = 503
    run(sys.executable, "-c", APPLICATION)
    waiting = run(assay(), "audit", "flush")
    assert (waiting.returncode, waiting.stdout) == (1, "confirmed 0, waiting 3, set aside 0\n")
    assert "3 still wait" in waiting.stderr
    assert "503" in waiting.stderr
    endpoint.status = 200
    done = run(assay(), "audit", "flush")
    assert (done.returncode, done.stdout, done.stderr) == (0, "confirmed 3, waiting 0, set aside 0\n", "")
    assert endpoint.count == 3


def test_rejected_records_are_listed_and_sent_again_on_demand(run, endpoint):
    endpoint.status = 503
    run(sys.executable, "-c", APPLICATION)
    endpoint.status = 400
    done = run(assay(), "audit", "flush")
    assert done.returncode == 1
    assert done.stdout.startswith("confirmed 0, waiting 0, set aside 3\nset aside ")
    endpoint.status = 200
    assert run(assay(), "audit", "flush").returncode == 1
    assert run(assay(), "audit", "flush", "--retry-rejected").returncode == 0
    assert endpoint.count == 3


def test_records_for_another_endpoint_are_not_sent_here_but_named(run, endpoint):
    run(sys.executable, "-c", APPLICATION, url="http://127.0.0.1:1/v1/audit")
    done = run(assay(), "audit", "flush")
    assert done.returncode == 0
    assert "3 wait for http://127.0.0.1:1/v1/audit" in done.stdout
    assert endpoint.count == 0


def test_settings_that_forbid_sending_are_a_usage_error(run):
    done = run(assay(), "audit", "flush", url="http://audit.test/v1/audit")
    assert done.returncode == 2
    assert "use https" in done.stderr
