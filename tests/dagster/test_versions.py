"""The lowest version of Dagster that the instrumentation declares: the same tests, against the same far end.

The newest version is that of the lock file, which every other test here runs. The exporter host needs a newer
protobuf than old versions of Dagster accept, so these get an environment of their own, without the host.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
TESTS = ("test_local", "test_daemon", "test_dev", "test_locations")


def lowest_dagster() -> str:
    """Return the lowest version in the instrumentation's pyproject.toml."""
    text = (REPOSITORY / "instrumentations/flowstone/pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^dagster = \[\n\s*"dagster>=([\d.]+)",', text, re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def python(environment):
    """Return the interpreter of an environment with the lowest version of Dagster."""
    version = lowest_dagster()
    return environment(f"dagster=={version}", f"dagster-webserver=={version}")


@pytest.fixture(scope="module")
def on_lowest_version(side_by_side, python, tmp_path_factory):
    """Run the modules of tests side by side: they wait for processes of Dagster most of the time."""

    def run(tests: str) -> None:
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path_factory.mktemp('lowest') / 'runs'}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(Path(__file__).with_name(f"{tests}.py"))],
            cwd=REPOSITORY,
            env={**os.environ, "ASSAY_TEST_DAGSTER_PYTHON": str(python)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

    return side_by_side("test_lowest_version_arrives_as_dagster_recorded_it", "tests", run)


@pytest.mark.parametrize("tests", TESTS)
def test_lowest_version_arrives_as_dagster_recorded_it(on_lowest_version, tests):
    on_lowest_version(tests)
