"""The name of the service, and where it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.distro.resource import kubernetes, program_name, service_name

PROJECT = """
[build-system]
name = "wrong"

[project]  # the service
version = "1"
name = "warehouse"

[tool.x]
"""
REPORT = """
import os
from opentelemetry.trace import get_tracer_provider

def report():
    print(get_tracer_provider().resource.attributes["service.name"], flush=True)
    os._exit(0)
"""
ENTRY_POINT = "[opentelemetry_post_instrument]\nreport = report_name:report\n"
BIN = Path(sys.executable).parent
LAUNCHERS = (
    ("dagster", "dev"),
    ("dagster-daemon", "run"),
    ("dagster-webserver",),
    ("python", "-m", "dagster", "api", "grpc"),
    ("python", "-m", "dagster._daemon", "run"),
    ("python", "run_all.py"),
    ("python", "-c", "pass"),
    ("kopf", "run", "operator.py"),
    ("uvicorn", "shop:app"),
)
INSTALLED = [command for command in LAUNCHERS if (BIN / command[0]).exists()]


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "app.py"], "app"),
        (["python", "/srv/shop/worker.py", "--queue", "a.py"], "worker"),
        (["python", "-X", "dev", "-W", "error", "-u", "app.py"], "app"),
        (["python", "-m", "shop.worker", "-v"], "shop.worker"),
        (["python", "-mshop"], "shop"),
        (["/venv/bin/python", "/venv/bin/dagster", "dev"], "dagster"),
        (["python", "/srv/shop/__main__.py"], "shop"),
        (["python", "-c", "pass"], ""),
        (["python"], ""),
        ([], ""),
    ],
)
def test_program_name(argv, name):
    assert program_name(argv) == name


def test_kubernetes_from_the_downward_api():
    found = kubernetes(
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "a", "K8S_NODE_NAME": "b", "POD_UID": ""}
    )
    assert found == {"k8s.pod.name": "a", "k8s.node.name": "b"}


def test_outside_a_cluster_a_pod_name_means_nothing():
    assert kubernetes({"POD_NAME": "a"}) == {}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "warehouse_project"
    (folder / "src/jobs").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "/venv/bin/dagster", "dev"],
        ["python", "/venv/bin/dg", "launch"],
        ["python", "-m", "dagster._daemon", "run"],
        ["python", "run_all.py"],
        ["python", "src/jobs/run_all.py"],
        ["python", "-c", "pass"],
    ],
)
def test_every_command_of_a_project_has_its_name(project, argv):
    assert service_name(argv, {}) == "warehouse"


def test_the_project_of_a_script_is_that_of_its_own_folder(project, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/pyproject.toml").write_text('[tool.poetry]\nname = "other"\n')
    assert service_name(["python", str(tmp_path / "other/main.py")], {}) == "other"


def test_a_project_beyond_the_repository_does_not_count(project, monkeypatch):
    (project / "src/.git").mkdir()
    monkeypatch.chdir(project / "src/jobs")
    assert service_name(["python", "run_all.py"], {}) == "run_all"


@pytest.mark.parametrize("text", ["[tool.ruff]\n", "[project]\n", "not TOML", '[project]\nname = "a b"\n'])
def test_without_a_name_the_program_has_its_own(project, text):
    (project / "pyproject.toml").write_text(text)
    assert service_name(["python", "-m", "dagster._daemon", "run"], {}) == "dagster"
    assert service_name(["python", "run_all.py"], {}) == "run_all"


def test_a_child_without_a_program_has_the_name_of_its_parent(project):
    assert service_name(["python", "-c", "from multiprocessing"], {"ASSAY_PROGRAM": "parent"}) == "parent"


@pytest.mark.slow
@pytest.mark.parametrize("command", INSTALLED, ids=" ".join)
def test_real_launchers_of_a_project_have_one_name(project, tmp_path, command):
    """An entry point prints the name once everything is instrumented, and ends the process."""
    (tmp_path / "report_name.py").write_text(REPORT)
    metadata = tmp_path / "report_name-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: report-name\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINT)
    (project / "run_all.py").touch()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}
    done = subprocess.run(
        [BIN / "opentelemetry-instrument", BIN / command[0], *command[1:]],
        env={**kept, "PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "warehouse\n", done.stderr
