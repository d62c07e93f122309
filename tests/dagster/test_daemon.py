"""A platform: code server, daemon, webserver, run queue, run monitoring; each run is a process.

The deployment runs once. It launches every job through the webserver, ends some runs from outside, and stops
all its processes with Ctrl-C. The tests read what arrived.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from dagster import DagsterRunStatus, RunsFilter

from assay.instrumentation.testing import free_port, wait_until
from assay.semconv import attributes as keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONFIGURATION = """
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {max_concurrent_runs: 8, dequeue_interval_seconds: 1, dequeue_use_threads: true}
run_launcher:
  module: process_launcher
  class: ProcessLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 1
  max_resume_run_attempts: 1
run_retries:
  enabled: true
  max_retries: 0
"""
WORKSPACE = "load_from: [{{grpc_server: {{host: 127.0.0.1, port: {port}, location_name: warehouse}}}}]\n"
OUTCOMES = {
    "plain": [{"SUCCESS"}],
    "killed": [{"FAILURE"}],
    "killed_alone": [{"FAILURE"}],
    # The monitor reports the failure while the worker reports that it was interrupted: the later one stands.
    "too_long": [{"FAILURE", "CANCELED"}],
    "canceled": [{"CANCELED"}],
    "resumed": [{"SUCCESS"}],
    "run_retried": [{"FAILURE"}, {"SUCCESS"}],
    "upstream_of_automation": [{"SUCCESS"}],
    "sensed": [{"SUCCESS"}],
}
"""The jobs, and the statuses that Dagster may give to each of their runs."""
BROKEN_SENSOR = ("daemon:SENSOR", "LookupError")
ENDS = {"SUCCESS", "FAILURE", "CANCELED"}
LEFT_IN_QUEUE = "graph"
"""The job whose run is requested when no daemon starts runs any more."""
ASSETS_ALONE = "__ASSET_JOB"
"""Dagster's name of the job of runs that backfills and automation conditions request."""


def is_listening(port: int) -> bool:
    """Return whether a server listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(deployment, job: str, runs: int) -> None:
    """Wait until so many runs of a job have ended."""
    wait_until(
        lambda: sum(status in ENDS for status in deployment.statuses(job)) >= runs, timeout=240, interval=0.5
    )


def wait_for_all_runs(deployment) -> None:
    """Wait until all runs that started have ended."""
    unfinished = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    chosen = RunsFilter(statuses=unfinished)
    wait_until(lambda: not deployment.instance.get_runs(chosen), timeout=240, interval=0.5)


def run_everything(deployment, web) -> None:
    """Launch every job, and end those that are ended from outside."""
    for job in ("killed", "killed_alone", "canceled", "resumed"):
        deployment_runs[job] = web.launch(job)
    web.launch("too_long", {"dagster/max_runtime": "4"})
    for job in ("killed", "resumed", "killed_alone"):
        deployment.kill_worker(job, deployment_runs[job])
    wait_until((deployment.marks / "canceled.pid").exists, timeout=240)
    web.terminate(deployment_runs["canceled"])
    # The process that resumes it.
    deployment.kill_worker("killed_alone", deployment_runs["killed_alone"], attempts=2)
    (deployment.marks / "resumed.go").touch()
    web.launch("plain")
    web.launch("run_retried", {"dagster/max_retries": "1"})
    web.launch("upstream_of_automation")
    web.backfill("regional")
    web.backfill("ranged")
    for job, ends in OUTCOMES.items():
        wait_for(deployment, job, len(ends))
    wait_for(deployment, ASSETS_ALONE, 4)  # two partitions, one range, one by automation
    wait_for(deployment, "scheduled", 1)
    # A daemon sends a heartbeat every 30 s, with its errors of five minutes.
    wait_until(lambda: BROKEN_SENSOR in errors_of_daemons(deployment), timeout=120)


def errors_of_daemons(deployment) -> list[tuple[str, str]]:
    """Return the daemon and the type of each error of a daemon that has arrived."""
    found = (has for _, has in deployment.log_events("flowstone.error"))
    return [
        (has[keys.FLOWSTONE_SUBJECT], has[keys.ERROR_TYPE])
        for has in found
        if has.get(keys.FLOWSTONE_ORIGIN) == "daemon"
    ]


deployment_runs: dict[str, str] = {}


@pytest.fixture(scope="module")
def platform(tmp_path_factory, deployed):
    """Return the deployment after all its runs have ended and its processes have stopped."""
    root = tmp_path_factory.mktemp("platform") / "root"
    code_port, web_port = free_port(), free_port()
    with deployed(root, CONFIGURATION, WAREHOUSE_IN_PROCESS="1") as deployment:
        workspace = root / "workspace.yaml"
        workspace.write_text(WORKSPACE.format(port=code_port), encoding="utf-8")
        services: list[subprocess.Popen[bytes]] = []

        def start(program: str, *arguments: str) -> None:
            services.append(deployment.start(program, *arguments, log=f"{program}.log"))

        start("dagster", "code-server", "start", "-m", "warehouse", "-p", str(code_port), "-h", "127.0.0.1")
        wait_until(lambda: is_listening(code_port), timeout=240, interval=0.1)
        start("dagster-webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(web_port))
        start("dagster-daemon", "run", "-w", str(workspace))
        web = deployment.webserver(web_port)
        try:
            wait_until(web.has_jobs, timeout=240, interval=0.2)
            run_everything(deployment, web)
            # The daemon first, so that no new runs start.
            deployment.exits = {"dagster-daemon": deployment.interrupt(services.pop())}
            wait_for_all_runs(deployment)
            web.launch(LEFT_IN_QUEUE)
            for service in reversed(services):
                deployment.exits[Path(service.args[1]).name] = deployment.interrupt(service)
        finally:
            for service in services:
                deployment.kill(service)
        deployment.settle()
        yield deployment


@pytest.mark.parametrize("job", OUTCOMES)
def test_run_arrives_as_dagster_recorded_it(platform, job):
    statuses = platform.statuses(job)
    assert len(statuses) == len(OUTCOMES[job])
    assert all(status in wanted for status, wanted in zip(statuses, OUTCOMES[job], strict=True)), statuses
    platform.check(job)


@pytest.mark.parametrize("job", [ASSETS_ALONE, "scheduled"])
def test_requested_runs_arrive_as_dagster_recorded_them(platform, job):
    platform.check(job)


def test_a_run_that_never_starts_arrives_as_dagster_recorded_it(platform):
    assert platform.statuses(LEFT_IN_QUEUE) == ["QUEUED"]
    platform.check(LEFT_IN_QUEUE)


def test_everything_arrives_as_dagster_recorded_it(platform):
    platform.check()


def test_an_error_of_a_daemon_arrives_once_though_each_heartbeat_has_it(platform):
    assert errors_of_daemons(platform).count(BROKEN_SENSOR) == 1


def test_audit_log_names_the_client_of_the_webserver(platform):
    with closing(sqlite3.connect(platform.folder.database)) as log:
        rows = log.execute(
            "SELECT DISTINCT client_ip, user_agent FROM flowstone_audit_log"
            " WHERE event_type = 'flowstone.run.queued' AND resource_id = ?",
            (deployment_runs["canceled"],),
        ).fetchall()
    assert rows == [("127.0.0.1", "release-bot/1.0")]


def test_services_end_by_ctrl_c_as_they_do_without_us(platform):
    assert platform.exits == {"dagster-daemon": 0, "dagster-webserver": 0, "dagster": 0}


def test_no_process_warns_of_us(platform):
    assert platform.complaints() == []
