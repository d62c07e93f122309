"""Unchanged Dagster projects under `opentelemetry-instrument`: real processes, a real receiver."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance

from assay.instrumentation.testing import OTLPReceiver, clean_environment, run_instrumented, wait_until
from assay.instrumentation.testing.receiver import attributes

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
pytest.importorskip("assay.distro", reason="opentelemetry-instrument needs a distro")
pytestmark = pytest.mark.slow


@pytest.fixture
def receiver():
    """Return the receiver that all processes export to."""
    with OTLPReceiver() as found:
        yield found


@pytest.fixture
def environment(tmp_path, receiver):
    """Return the environment of a user's shell."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    # Made here: two processes that make a new home at once trip over each other's half-made tables.
    with DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
    return clean_environment(
        DAGSTER_HOME=str(home),
        SHOP_FOLDER=str(tmp_path),
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_SERVICE_NAME="shop",
        ASSAY_AUDIT_ENDPOINT=f"{receiver.endpoint}/v1/audit",
    )


def _run_dagster(environment, *arguments):
    return run_instrumented(
        PROGRAMS / "dagster", *arguments, environment=environment, folder=HERE / "projects"
    )


STARTS = {"seed": 1, "leaf": 1, "flaky": 2, "broken": 1, "refused": 1}


def _check_one_trace(receiver):
    (run,) = receiver.spans("flowstone.run")
    (request,) = receiver.spans("flowstone.run.request")
    assert run.parent_span_id == request.span_id
    assert {span.trace_id for span in receiver.spans()} == {run.trace_id}
    made = receiver.spans("flowstone.materialization")
    assert len(made) == sum(STARTS.values())
    steps = receiver.spans("flowstone.step")
    assert {span.parent_span_id for span in made} <= {span.span_id for span in steps}
    assert {span.parent_span_id for span in steps} == {run.span_id}


def test_a_job_in_several_processes_is_one_trace_and_counted_once(receiver, environment):
    environment["ASSAY_DAGSTER_MATERIALIZATION_REQUEST_HOOK"] = "shop_hooks:name_the_owner"
    done = _run_dagster(environment, "job", "execute", "-m", "shop", "-j", "multiprocess")

    assert "RUN_FAILURE" in done.stderr, done.stderr
    _check_one_trace(receiver)
    for span in receiver.spans("flowstone.step"):
        found = attributes(span.attributes)
        assert found["shop.owner"] == found["flowstone.op"], "the hook is called in child processes too"
    assert receiver.totals("flowstone.materialization.start.count", "asset") == STARTS
    assert receiver.totals("flowstone.io.load.count", "asset") == {"seed": 1, "leaf": 3}
    names = [record.event_name for record in receiver.logs()]
    assert names.count("flowstone.materialization.start") == sum(STARTS.values())
    assert names.count("flowstone.run.start") == 1


@pytest.mark.parametrize("disabled", ["flowstone", "*"])
def test_disabled_events_stay_disabled_though_dagster_is_instrumented(receiver, environment, disabled):
    environment["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = disabled
    done = _run_dagster(environment, "job", "execute", "-m", "shop", "-j", "in_process")

    assert "RUN_FAILURE" in done.stderr, done.stderr
    assert receiver.spans() == []
    assert receiver.totals("flowstone.materialization.start.count", "asset") == {}


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


def test_a_queued_run_is_emitted_by_the_process_that_runs_it(receiver, environment, daemon):
    done = _run_dagster(environment, "job", "launch", "-m", "shop", "-j", "multiprocess")

    assert done.returncode == 0, done.stderr
    wait_until(lambda: receiver.spans("flowstone.run"), timeout=120)
    _check_one_trace(receiver)
    # The last measurements leave when the process that ran the run exits.
    wait_until(
        lambda: receiver.totals("flowstone.materialization.start.count", "asset") == STARTS, timeout=120
    )

    # Two processes report them: the command and the run's own.
    def counts():
        names = [record.event_name for record in receiver.logs()]
        return [names.count(f"flowstone.run.{phase}") for phase in ("queued", "start")]

    wait_until(lambda: all(counts()), timeout=120)
    assert counts() == [1, 1]
    with DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        (run,) = instance.get_runs()
        stored = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    kinds = [event.event_type_value for event in stored]
    names = [record.event_name for record in receiver.logs()]
    assert names.count("flowstone.run.dequeued") == kinds.count("PIPELINE_DEQUEUED")
