"""Programs that know nothing of us, under `opentelemetry-instrument`: real processes, a real receiver."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dagster import DagsterInstance

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
pytest.importorskip("assay.distro", reason="opentelemetry-instrument needs a distro")
pytestmark = pytest.mark.slow


@pytest.fixture
def receiver(monkeypatch):
    """Return where all processes export to."""
    monkeypatch.syspath_prepend(str(HERE))
    from otlp import Receiver

    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def environment(tmp_path, receiver):
    """Return the environment of a user's shell."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    # Made here: two processes that make a new home at once trip over each other's half-made tables.
    with DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}
    return {
        **kept,
        "DAGSTER_HOME": str(home),
        "SHOP_FOLDER": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "shop",
        "ASSAY_AUDIT_ENDPOINT": f"{receiver.endpoint}/v1/audit",
    }


def _instrumented(environment, *arguments):
    return subprocess.run(
        [PROGRAMS / "opentelemetry-instrument", PROGRAMS / "dagster", *arguments],
        cwd=HERE / "projects",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


STARTS = {"seed": 1, "leaf": 1, "flaky": 2, "broken": 1, "refused": 1}


def _check_one_trace(receiver):
    ours = [span for span in receiver.spans if span.name.startswith("flowstone.")]
    assert len({span.trace_id for span in ours}) == 1
    (run,) = [span for span in ours if span.name == "flowstone.run"]
    assert not run.parent_span_id
    made = [span for span in ours if span.name == "flowstone.materialization"]
    assert len(made) == sum(STARTS.values())
    assert {span.parent_span_id for span in made} == {run.span_id}


def test_a_job_in_several_processes_is_one_trace_and_counted_once(receiver, environment):
    done = _instrumented(environment, "job", "execute", "-m", "shop", "-j", "multiprocess")

    assert "RUN_FAILURE" in done.stderr, done.stderr
    _check_one_trace(receiver)
    assert receiver.counts("flowstone.materialization.start.count") == STARTS
    assert receiver.counts("flowstone.io.load.count") == {"seed": 1, "leaf": 3}
    names = [record.event_name for record in receiver.logs]
    assert names.count("flowstone.materialization.start") == sum(STARTS.values())
    assert names.count("flowstone.run.start") == 1


@pytest.fixture
def daemon(environment, tmp_path):
    """Run Dagster's daemon, whose code server starts a process for each run."""
    arguments = [PROGRAMS / "opentelemetry-instrument", PROGRAMS / "dagster-daemon", "run", "-m", "shop"]
    with (
        (tmp_path / "daemon.log").open("w") as log,
        subprocess.Popen(
            arguments, cwd=HERE / "projects", env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        yield tmp_path / "daemon.log"
        process.send_signal(signal.SIGINT)


def test_a_run_that_is_queued_is_told_by_the_process_that_runs_it(receiver, environment, daemon):
    done = _instrumented(environment, "job", "launch", "-m", "shop", "-j", "multiprocess")

    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 120
    while not receiver.named("flowstone.run") and time.monotonic() < until:
        time.sleep(0.2)
    assert receiver.named("flowstone.run"), daemon.read_text()
    _check_one_trace(receiver)
    # Measurements leave when the process that ran the run exits.
    while not receiver.counts("flowstone.materialization.start.count") and time.monotonic() < until:
        time.sleep(0.2)
    assert receiver.counts("flowstone.materialization.start.count") == STARTS
    names = [record.event_name for record in receiver.logs]
    assert (names.count("flowstone.run.queued"), names.count("flowstone.run.start")) == (1, 1)
