"""No message of the command or of the distro shows a secret, wherever it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "Zx9qvT4mWn7Kd2Lr"  # of no provider's shape
ENVIRONMENTS = {
    "query": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:1/x?tok={SECRET}"},
    "fragment": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:1/#token={SECRET}"},
    "user": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{SECRET}@127.0.0.1:1"},
    "password": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:{SECRET}@127.0.0.1:1"},
    "scheme": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"ftp://me:{SECRET}@127.0.0.1:1?token={SECRET}"},
    "grpc": {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:{SECRET}@127.0.0.1:1",
    },
    "headers": {"OTEL_EXPORTER_OTLP_HEADERS": f"x-team={SECRET}"},
    "headers in the wrong variable": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"authorization=Bearer {SECRET}"},
    "authorization": {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}"},
    "broken header": {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}%0a"},
    "audit token": {"ASSAY_AUDIT_TOKEN": SECRET, "ASSAY_AUDIT_ENDPOINT": f"http://127.0.0.1:1/{SECRET}"},
    "broken audit token": {"ASSAY_AUDIT_TOKEN": f"{SECRET} x"},
    "audit endpoint": {"ASSAY_AUDIT_ENDPOINT": f"http://me:{SECRET}@127.0.0.1:1/v1/audit?key={SECRET}"},
    "audit on the network": {"ASSAY_AUDIT_ENDPOINT": f"http://me:{SECRET}@192.0.2.1/v1/audit"},
    "token in another setting": {"ASSAY_LOGS": f"token={SECRET}"},
    "collector": {"ASSAY_COLLECTOR": f"/nowhere?token={SECRET}"},
    "certificate": {"ASSAY_AUDIT_CERTIFICATE": f"https://me:{SECRET}@h/ca.pem"},
}


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "ASSAY_"))}
    return {**kept, "ASSAY_CACHE_DIR": str(tmp_path), **changes}


@pytest.mark.parametrize("place", ENVIRONMENTS)
def test_doctor_shows_no_secret(tmp_path, place):
    done = subprocess.run(
        [Path(sys.executable).with_name("assay"), "doctor"],
        env=environment(tmp_path, **ENVIRONMENTS[place]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "endpoint" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "place", ["query", "password", "headers in the wrong variable", "audit on the network"]
)
def test_an_instrumented_program_logs_no_secret(tmp_path, place):
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "-c", "print('ran')"],
        env=environment(tmp_path, ASSAY_EXIT_TIMEOUT="1", **ENVIRONMENTS[place]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "ran" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_an_error_shows_no_secret(tmp_path):
    done = subprocess.run(
        [Path(sys.executable).with_name("assay"), "serve", "--config", str(tmp_path / SECRET)],
        env=environment(tmp_path, ASSAY_AUDIT_TOKEN=SECRET),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert SECRET not in done.stderr
    assert "[REDACTED]" in done.stderr
