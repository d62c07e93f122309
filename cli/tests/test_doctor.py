"""`assay doctor` with endpoints that answer, and endpoints that do not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@pytest.fixture
def collector():
    """Run a server that answers 200 to traces, 401 to audit, 405 to a page, and 404 to other paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answers = {"/v1/traces": 200, "/v1/audit": 401, "/page": 405}
            self.send_response(answers.get(self.path, 404))
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def doctor(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}
    return subprocess.run(
        [str(Path(sys.executable).with_name("assay")), "doctor", *arguments],
        env={**kept, "ASSAY_CACHE_DIR": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def findings(done: subprocess.CompletedProcess) -> dict[tuple[str, str], dict]:
    return {(one["area"], one["name"]): one for one in json.loads(done.stdout)["findings"]}


def test_each_endpoint_has_a_finding(tmp_path, collector):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "ASSAY_AUDIT_ENDPOINT": f"{collector}/v1/audit"}
    done = doctor(tmp_path, "--json", **env)
    assert done.returncode == 1
    found = findings(done)
    assert found["endpoint", "traces"]["status"] == "ok"
    assert found["endpoint", "metrics"]["status"] == "error"
    assert "path" in found["endpoint", "metrics"]["remedy"]
    assert found["endpoint", "audit"]["status"] == "error"
    assert "ASSAY_AUDIT_TOKEN" in found["endpoint", "audit"]["remedy"]
    assert found["instrumentation", "flowstone"]["status"] == "ok"


def test_an_endpoint_that_does_not_accept_otlp_is_an_error(tmp_path, collector):
    found = findings(doctor(tmp_path, "--json", ASSAY_AUDIT_ENDPOINT=f"{collector}/page"))
    assert found["endpoint", "audit"]["status"] == "error"
    assert "answers 405" in found["endpoint", "audit"]["detail"]


def test_an_endpoint_that_would_reveal_records_is_reported_without_a_request(tmp_path):
    env = {"ASSAY_AUDIT_ENDPOINT": "http://192.0.2.1/v1/audit", "ASSAY_AUDIT_TOKEN": "s3cret"}
    done = doctor(tmp_path, "--json", **env)
    found = findings(done)["endpoint", "audit"]
    assert found["status"] == "error"
    assert "use https" in found["detail"]
    assert "s3cret" not in done.stdout


def test_a_token_that_a_header_cannot_carry_is_a_wrong_setting(tmp_path):
    done = doctor(tmp_path, "--json", ASSAY_AUDIT_TOKEN="s3cr…t")
    assert findings(done)["setting", "ASSAY_AUDIT_TOKEN"]["detail"] == "is '***'"


def test_a_header_that_is_not_ascii_does_not_stop_the_diagnosis(tmp_path, collector):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_HEADERS": "x-team=é…"}
    done = doctor(tmp_path, "--json", **env)
    assert findings(done)["endpoint", "traces"]["status"] == "ok", done.stderr


def test_without_an_error_the_exit_status_is_0(tmp_path, collector):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "ASSAY_AUDIT_ENDPOINT": f"{collector}/v1/traces",
    }
    done = doctor(tmp_path, "--json", **env)
    assert json.loads(done.stdout)["ok"] is True
    assert done.returncode == 0


def test_an_endpoint_that_cannot_be_reached_is_an_error(tmp_path):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{one.getsockname()[1]}"
    done = doctor(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, ASSAY_AUDIT_ENDPOINT=f"{nowhere}/v1/audit")
    assert done.returncode == 1
    assert "cannot be reached (Connection refused)" in done.stdout
    assert "assay collector run" in done.stdout


def test_wrong_settings_are_reported_with_a_remedy(tmp_path, collector):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "ASSAY_LOGS": "xml", "ASSAY_AUDIT_ENDPONT": "http://x"}
    found = findings(doctor(tmp_path, "--json", **env))
    assert found["setting", "ASSAY_LOGS"]["remedy"] == "set it to text or json"
    assert found["setting", "ASSAY_AUDIT_ENDPONT"]["remedy"] == "did you mean ASSAY_AUDIT_ENDPOINT?"


def test_a_version_of_dagster_that_is_too_old_is_an_error(tmp_path):
    metadata = tmp_path / "dagster-1.9.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: dagster\nVersion: 1.9.0\n", encoding="utf-8")
    found = findings(doctor(tmp_path, "--json", PYTHONPATH=str(tmp_path)))
    one = found["instrumentation", "flowstone_dagster"]
    assert one["status"] == "error"
    assert "dagster 1.9.0" in one["detail"]
    assert one["remedy"].startswith("pip install 'dagster >=")


def test_wrong_usage_exits_2(tmp_path):
    assert doctor(tmp_path, "--nonsense").returncode == 2


def test_the_queue_of_audit_records_is_checked(tmp_path):
    folder = tmp_path / "queues"
    ok = findings(doctor(tmp_path, "--json", ASSAY_AUDIT_QUEUE_DIRECTORY=str(folder)))
    assert ok["endpoint", "audit queue"]["status"] == "ok"
    assert str(folder) in ok["endpoint", "audit queue"]["detail"]
    (tmp_path / "file").touch()
    unusable = findings(doctor(tmp_path, "--json", ASSAY_AUDIT_QUEUE_DIRECTORY=str(tmp_path / "file" / "x")))
    assert unusable["endpoint", "audit queue"]["status"] == "warning"
    assert "ASSAY_AUDIT_QUEUE_DIRECTORY" in unusable["endpoint", "audit queue"]["remedy"]
