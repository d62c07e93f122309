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

from assay.instrumentation.testing import free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = """
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
run_launcher:
  module: process_launcher
  class: ProcessLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 1
  max_resume_run_attempts: 0
"""
TAGS = {"too_long": {"dagster/max_runtime": "4"}}
ENDS = {
    "plain": {"SUCCESS"},
    "killed_alone": {"FAILURE"},
    "too_long": {"FAILURE", "CANCELED"},  # as with the newest version, see `test_daemon.py`
    "canceled": {"CANCELED"},
}
"""The jobs that the daemon runs, and the statuses that Dagster may give to their runs."""


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


@pytest.fixture(scope="module")
def platform(tmp_path_factory, deployed, python):
    """Return a deployment after the daemon has run all jobs, and has ended some of them."""
    root, port = tmp_path_factory.mktemp("lowest") / "root", free_port()
    options = ("-m", "warehouse", "-h", "127.0.0.1", "-p", str(port))
    with deployed(root, CONFIGURATION, python=python, WAREHOUSE_IN_PROCESS="1") as deployment:
        with deployment.start("dagster", "dev", *options, log="dev.log") as process:
            try:
                web = deployment.webserver(port)
                wait_until(web.has_jobs, timeout=240, interval=0.2)
                runs = {job: web.launch(job, TAGS.get(job)) for job in ENDS}
                deployment.kill_worker("killed_alone", runs["killed_alone"])
                wait_until((deployment.marks / "canceled.pid").exists, timeout=240)
                web.terminate(runs["canceled"])
                wait_until(lambda: has_ended(deployment), timeout=240, interval=0.2)
                deployment.exit = deployment.interrupt(process)
            finally:
                deployment.kill(process)
        deployment.settle()
        yield deployment


def has_ended(deployment):
    """Return whether the run of each job has ended."""
    return all(set(deployment.statuses(job)) <= ends for job, ends in ENDS.items())


@pytest.mark.parametrize("job", ENDS)
def test_run_of_the_daemon_on_the_lowest_version_arrives_as_dagster_recorded_it(platform, job):
    assert len(platform.statuses(job)) == 1
    platform.check(job)


def test_services_of_the_lowest_version_end_by_ctrl_c_without_a_warning_of_us(platform):
    assert platform.exit == 0
    assert platform.complaints() == []
