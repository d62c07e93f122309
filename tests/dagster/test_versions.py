"""The lowest version of Dagster that the instrumentation declares, against the same far end.

The newest version is that of the lock file, which every other test here runs. The exporter host needs a newer
protobuf than old versions of Dagster accept, so these get an environment of their own, without the host.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REPOSITORY = Path(__file__).parents[2]


def lowest_dagster() -> str:
    """Return the lowest version in the instrumentation's pyproject.toml."""
    text = (REPOSITORY / "instrumentations/flowstone/pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^dagster = \[\n\s*"dagster>=([\d.]+)",', text, re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def python(environment):
    """Return the interpreter of an environment with the lowest version of Dagster."""
    return environment(f"dagster=={lowest_dagster()}")


def test_runs_on_the_lowest_version_arrive_as_dagster_recorded_them(python, tmp_path):
    options = ["-q", "-k", "in_process", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'runs'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(Path(__file__).with_name("test_local.py"))],
        cwd=REPOSITORY,
        env={**os.environ, "ASSAY_TEST_DAGSTER_PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
