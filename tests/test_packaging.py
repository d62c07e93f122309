"""Each distribution stands alone, and runs on the oldest and the newest versions that it declares."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LOWEST_PYTHON, NEWEST_PYTHON = "3.10", "3.13"
IMPORT_ALL = """
import importlib, importlib.metadata, sys
distribution, package = sys.argv[1:]
print(importlib.import_module(package).__file__)
for entry_point in importlib.metadata.distribution(distribution).entry_points:
    entry_point.load()
"""

pytestmark = pytest.mark.slow


def distribution_name(folder: str) -> str:
    """Return the distribution's name in the folder's pyproject.toml."""
    found = re.search(
        r'^name = "(.+)"$', (REPOSITORY / folder / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    assert found
    return found[1]


def search_path() -> str:
    """Return PATH and the interpreters of pyenv, whose shims start only the versions that pyenv activated."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return os.pathsep.join([os.environ["PATH"], *map(str, sorted(pyenv.glob("versions/3.*/bin")))])


def uv(*arguments: str, **variables: str) -> str:
    """Run uv without downloads of interpreters; return its output, and fail with its errors."""
    program = shutil.which("uv") or str(REPOSITORY / ".uv/bin/uv")
    # uv must not change the environment that runs this test.
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environment |= {"PATH": search_path(), "UV_PYTHON_DOWNLOADS": "never", **variables}
    done = subprocess.run(
        [program, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run_quick_tests(python: Path, folder: Path, log: Path) -> None:
    """Run the folder's tests that are not marked slow with another interpreter.

    Their output is a file: a pipe would stay open as long as any process that a test has left.
    """
    command = [str(python), "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", "--timeout", "120"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            status = process.wait(540)
        except subprocess.TimeoutExpired:
            status = "it did not end"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert status == 0, f"{status}: {log.read_text(errors='replace')[-8000:]}"


@pytest.fixture(scope="session")
def find_python(skip_or_fail) -> Callable[[str], str]:
    """Return a function that finds the interpreter of a Python version, and skips or fails without one."""

    def find(version: str) -> str:
        try:
            return uv("python", "find", "--no-project", version)
        except AssertionError:
            return skip_or_fail(
                f"there is no Python {version}: put python{version} on PATH "
                f"(`pyenv install {version}` or `uv python install {version}`)"
            )

    return find


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    command = [str(REPOSITORY / "scripts/build-wheels"), str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"export PIP_FIND_LINKS={folder}" in done.stdout
    return folder


def test_wheel_installs_and_imports_alone(distribution, wheels, tmp_path):
    python = tmp_path / "venv/bin/python"
    uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    name = distribution_name(distribution.folder)
    uv("pip", "install", "--quiet", "--python", str(python), "--find-links", str(wheels), name)
    # From an empty folder, so that nothing of the checkout is found.
    done = subprocess.run(
        [str(python), "-I", "-c", IMPORT_ALL, name, distribution.package],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "venv") in done.stdout


@pytest.fixture(scope="module")
def on_lowest_versions(side_by_side, find_python, tmp_path_factory):
    """Test packages, each with its dependencies and its test group at their lowest versions."""
    lowest = find_python(LOWEST_PYTHON)

    def run(folder: str) -> None:
        place = tmp_path_factory.mktemp("lowest")
        uv("venv", "--quiet", "--python", lowest, str(place / "venv"))
        python = place / "venv/bin/python"
        uv(
            *("pip", "install", "--quiet", "--resolution", "lowest-direct", "--python", str(python)),
            *("--group", f"{folder}/pyproject.toml:test", "--editable", folder),
        )
        run_quick_tests(python, REPOSITORY / folder, place / "log")

    return side_by_side("test_package_runs_alone_on_its_lowest_versions", "distribution", run)


def test_package_runs_alone_on_its_lowest_versions(distribution, on_lowest_versions):
    on_lowest_versions(distribution.folder)


@pytest.fixture(scope="module")
def newest_python(find_python, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the newest Python in the locked environment of the whole repository."""
    environment, python = tmp_path_factory.mktemp("newest") / "venv", find_python(NEWEST_PYTHON)
    uv(
        *("sync", "--quiet", "--frozen", "--all-packages", "--all-groups", "--python", python),
        UV_PROJECT_ENVIRONMENT=str(environment),
    )
    return environment / "bin/python"


@pytest.fixture(scope="module")
def on_newest_python(side_by_side, newest_python, tmp_path_factory):
    """Test packages in the locked environment on the newest Python."""

    def run(folder: str) -> None:
        run_quick_tests(newest_python, REPOSITORY / folder, tmp_path_factory.mktemp("newest") / "log")

    name = "test_package_runs_in_the_locked_environment_on_the_newest_python"
    return side_by_side(name, "distribution", run)


def test_package_runs_in_the_locked_environment_on_the_newest_python(distribution, on_newest_python):
    on_newest_python(distribution.folder)


def test_worker_pools_run_on_the_python_between(find_python, tmp_path):
    """The pools of each Python version differ; the repository's own tests run on 3.11."""
    environment, folder = tmp_path / "venv", "instrumentations/snakepit"
    uv(
        *("sync", "--quiet", "--frozen", "--package", distribution_name(folder), "--group", "test"),
        *("--python", find_python("3.12")),
        UV_PROJECT_ENVIRONMENT=str(environment),
    )
    run_quick_tests(environment / "bin/python", REPOSITORY / folder, tmp_path / "log")


def test_repository_runs_in_the_locked_environment_on_the_newest_python(newest_python, tmp_path):
    run_quick_tests(newest_python, REPOSITORY / "tests", tmp_path / "log")
