"""Each distribution stands alone: its wheel installs and imports by itself, and its own tests run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

DISTRIBUTIONS = {
    "semconv": ("assay-semconv", "assay.semconv"),
    "core/endpoints": ("assay-endpoints", "assay.endpoints"),
    "core/telemetry": ("assay-telemetry", "assay.telemetry"),
    "core/instrumentation": ("assay-instrumentation", "assay.instrumentation"),
    "core/audit": ("assay-audit", "assay.audit"),
    "core/distro": ("assay-distro", "assay.distro"),
    "instrumentations/flowstone": (
        "opentelemetry-instrumentation-flowstone",
        "opentelemetry.instrumentation.flowstone",
    ),
    "exporters/host": ("assay-exporter-host", "assay.host"),
    "exporters/audit": ("assay-exporter-audit", "assay.exporters.audit"),
    "exporters/cdevents": ("assay-exporter-cdevents", "assay.exporters.cdevents"),
    "cli": ("assay", "assay.cli.main"),
}

pytestmark = pytest.mark.slow


def uv(*arguments: str, cwd: Path = REPOSITORY, **variables: str) -> None:
    """Run uv, and show what it said if it failed."""
    program = shutil.which("uv") or str(REPOSITORY / ".uv/bin/uv")
    # The environment that runs this test is not the one that uv is to change.
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | variables
    done = subprocess.run(
        [program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--all-packages", "--wheel", "--quiet", "--out-dir", str(folder))
    return folder


def test_every_distribution_is_listed_here():
    found = {
        str(path.parent.relative_to(REPOSITORY))
        for pattern in ("*/pyproject.toml", "*/*/pyproject.toml")
        for path in REPOSITORY.glob(pattern)
        if not path.is_relative_to(REPOSITORY / ".venv")
    }
    assert found == set(DISTRIBUTIONS)


@pytest.mark.parametrize("folder", DISTRIBUTIONS)
def test_wheel_installs_and_imports_alone(folder, wheels, tmp_path):
    distribution, module = DISTRIBUTIONS[folder]
    python = tmp_path / "venv/bin/python"
    uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    uv("pip", "install", "--quiet", "--python", str(python), "--find-links", str(wheels), distribution)
    # From an empty folder, so that nothing of the checkout is found.
    done = subprocess.run(
        [str(python), "-I", "-c", f"import {module}; print({module}.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "venv") in done.stdout


@pytest.mark.parametrize("folder", DISTRIBUTIONS)
def test_package_tests_run_alone(folder, tmp_path):
    """In an environment with the package, what it depends on, and its test group: nothing else of ours."""
    distribution, _ = DISTRIBUTIONS[folder]
    environment = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
    uv(
        *("sync", "--quiet", "--frozen", "--package", distribution, "--group", "test"),
        *("--python", sys.executable),
        **environment,
    )
    done = subprocess.run(
        [
            str(tmp_path / "venv/bin/python"),
            "-m",
            "pytest",
            "-q",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            "tests",
        ],
        cwd=REPOSITORY / folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
