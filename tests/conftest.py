"""What every test that crosses packages may ask for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.errors import CollectorNotFoundError
from assay.cli._collector.process import Addresses
from assay.cli._collector.sources import find_collector


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], None]:
    """What a test does that lacks a service: it skips, or fails where `ASSAY_REQUIRE_SERVICES=1` says so."""

    def act(reason: str) -> None:
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {reason}")
        pytest.skip(reason)

    return act


@pytest.fixture(scope="session")
def collector_binary(skip_or_fail, pytestconfig) -> CollectorBinary | None:
    """A real Collector: one that is here, else built, which takes minutes and says so as it goes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def report(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n{line}")
            sys.stderr.flush()

    try:
        return find_collector("require", report=report)
    except CollectorNotFoundError as error:
        skip_or_fail(str(error))


@pytest.fixture
def addresses() -> Addresses:
    """Loopback addresses for a Collector, with ports that are free."""
    return Addresses.free()


@pytest.fixture(scope="session")
def promtool(skip_or_fail) -> str:
    """Prometheus' own judge of what it would scrape."""
    found = shutil.which("promtool")
    if found is None:
        skip_or_fail("promtool is not on PATH: install the Debian package `prometheus`")
    return str(found)


@pytest.fixture(scope="session")
def demo(collector_binary, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """One run of `assay demo`, shared: its folder, and the object that it printed."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    done = run_assay("demo", "--json", "--collector", "require", "--keep", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads(done.stdout)


def run_assay(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user types it."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("assay")), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def assay() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The `assay` command."""
    return run_assay
