"""Fixtures of the tests that cross packages."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.errors import CollectorNotFoundError
from assay.cli._collector.process import Addresses
from assay.cli._collector.sources import find_collector

REPOSITORY = Path(__file__).parents[1]


class Distribution(NamedTuple):
    """A folder of this repository that has a pyproject.toml of its own."""

    folder: str
    """Relative to the repository."""
    package: str
    """The import name, below the namespace packages."""
    modules: dict[str, ast.Module]
    """The parsed source by module name."""


def parse_distribution(folder: Path) -> Distribution:
    """Parse the source of the distribution in a folder."""
    source = folder / "src"
    modules = {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in source.rglob("*.py")
    }
    first = min(source.rglob("__init__.py"), key=lambda path: len(path.parts))
    package = ".".join(first.parent.relative_to(source).parts)
    return Distribution(str(folder.relative_to(REPOSITORY)), package, modules)


FOLDERS = sorted(
    str(path.parent.relative_to(REPOSITORY))
    for pattern in ("[!.]*/pyproject.toml", "[!.]*/*/pyproject.toml")
    for path in REPOSITORY.glob(pattern)
)


@pytest.fixture(scope="session")
def distributions() -> dict[str, Distribution]:
    """Return all distributions by folder."""
    return {folder: parse_distribution(REPOSITORY / folder) for folder in FOLDERS}


@pytest.fixture(params=FOLDERS)
def distribution(request, distributions) -> Distribution:
    """Return each distribution in turn."""
    return distributions[request.param]


@pytest.fixture(scope="module")
def side_by_side(request) -> Iterator[Callable[..., Callable[[str], None]]]:
    """Return a function that starts the work of parametrized tests, as much at once as there are processors.

    It takes the name of the tests' function, the name of their parameter, and the work, which gets a value of
    the parameter. It starts the work of the chosen tests, and returns a function that waits for one value's.
    """
    executor = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def start(function: str, parameter: str, work: Callable[[str], None]) -> Callable[[str], None]:
        items = [item for item in request.session.items if item.path == request.path]
        chosen = [item for item in items if item.originalname == function]
        values = [item.callspec.params[parameter] for item in chosen]
        started = {value: executor.submit(work, value) for value in values}
        return lambda value: started[value].result()

    yield start
    executor.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], None]:
    """Return a function that skips a test that lacks a service, or fails it if `ASSAY_REQUIRE_SERVICES=1`."""

    def act(reason: str) -> None:
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {reason}")
        pytest.skip(reason)

    return act


@pytest.fixture(scope="session")
def collector_binary(skip_or_fail, unlimited_memory, pytestconfig) -> CollectorBinary | None:
    """Return an installed Collector, else build one, which takes minutes and prints its progress."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def report(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n{line}")
            sys.stderr.flush()

    try:
        with unlimited_memory():
            return find_collector("require", report=report)
    except CollectorNotFoundError as error:
        skip_or_fail(str(error))


@pytest.fixture
def addresses() -> Addresses:
    """Return free loopback addresses for a Collector."""
    return Addresses.free()


@pytest.fixture(scope="session")
def promtool(skip_or_fail) -> str:
    """Return the path of promtool, which checks metrics as Prometheus does when it scrapes."""
    found = shutil.which("promtool")
    if found is None:
        skip_or_fail("promtool is not on PATH: install the Debian package `prometheus`")
    return str(found)


@pytest.fixture(scope="session")
def demo(collector_binary, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """Run `assay demo` once for all tests; return its folder and the object that it printed."""
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
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="session")
def assay() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return the function that runs the `assay` command."""
    return run_assay
