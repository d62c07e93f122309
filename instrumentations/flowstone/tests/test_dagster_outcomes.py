"""Runs end in telemetry as they end in Dagster's event log, in whichever process stores their end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    Executor,
    asset,
    execute_job,
    executor,
    in_process_executor,
    job,
    materialize,
    multiple_process_executor_requirements,
    op,
    reconstructable,
    resource,
)
from dagster._core.events import StepFailureData
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.execution.retries import RetryMode
from opentelemetry.trace import StatusCode

PROJECTS = Path(__file__).parent / "projects"
ENDS = ("stop", "exception", "canceled")


def _ends(telemetry, run_id):
    return [
        phase
        for phase in ENDS
        for event in telemetry.events(f"flowstone.run.{phase}")
        if event["run_id"] == run_id
    ]


def test_a_run_that_another_process_has_failed_is_not_a_success(dagster_telemetry):
    @op
    def too_slow(context):
        context.instance.report_run_failed(context.run, "Exceeded maximum runtime")
        raise KeyboardInterrupt

    @job(executor_def=in_process_executor)
    def slow():
        too_slow()

    with DagsterInstance.ephemeral() as instance:
        result = slow.execute_in_process(raise_on_error=False, instance=instance)
        stored = [e.event_type_value for e in result.all_events if e.is_job_event]
        assert "PIPELINE_SUCCESS" not in stored

    assert _ends(dagster_telemetry, result.run_id) == ["exception"]
    (run,) = dagster_telemetry.named("flowstone.run")
    assert run.status.status_code is StatusCode.ERROR
    assert "Exceeded maximum runtime" in run.status.description


def test_a_run_that_stops_without_an_outcome_is_interrupted(dagster_telemetry):
    @op
    def evicted(context):
        raise KeyboardInterrupt

    @job(executor_def=in_process_executor)
    def long():
        evicted()

    with DagsterInstance.ephemeral() as instance:
        instance.run_will_resume = lambda run_id: True
        result = long.execute_in_process(raise_on_error=False, instance=instance)
        assert _ends(dagster_telemetry, result.run_id) == []
        assert len(dagster_telemetry.events("flowstone.run.interrupted")) == 1
        (run,) = dagster_telemetry.named("flowstone.run")
        assert "cicd.pipeline.result" not in run.attributes

        instance.report_run_failed(instance.get_run_by_id(result.run_id), "no more attempts to resume")

    assert _ends(dagster_telemetry, result.run_id) == ["exception"]


def test_a_second_end_in_the_event_log_is_not_reported(dagster_telemetry):
    @asset
    def made():
        return 1

    with DagsterInstance.ephemeral() as instance:
        result = materialize([made], instance=instance)
        instance.report_run_failed(instance.get_run_by_id(result.run_id), "given up")

    assert _ends(dagster_telemetry, result.run_id) == ["stop"]


def test_a_run_that_fails_before_it_starts_ends_without_a_start(dagster_telemetry):
    @job
    def never():
        pass

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(never)
        instance.report_run_failed(run, "timed out while starting")

    assert _ends(dagster_telemetry, run.run_id) == ["exception"]
    assert not dagster_telemetry.events("flowstone.run.start")
    (error,) = dagster_telemetry.events("flowstone.error")
    assert (error["origin"], error["subject"], error["job"]) == ("run", "job:never", "never")


def test_a_cancelled_run_has_cancelled_steps_and_assets_and_no_errors(dagster_telemetry):
    @asset
    def interrupted(context):
        context.instance.report_run_canceling(context.run)
        raise KeyboardInterrupt

    result = materialize([interrupted], raise_on_error=False)

    assert _ends(dagster_telemetry, result.run_id) == ["canceled"]
    assert len(dagster_telemetry.events("flowstone.run.canceling")) == 1
    assert len(dagster_telemetry.events("flowstone.materialization.canceled")) == 1
    assert not dagster_telemetry.events("flowstone.error")
    for span in dagster_telemetry.spans():
        assert span.status.status_code is not StatusCode.ERROR, span.name


def test_a_run_that_leaves_the_queue_is_reported_with_the_time_in_the_queue(dagster_telemetry):
    @job
    def queued():
        pass

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(queued, tags={"user": "ines@example.com"})
        kind = DagsterEventType.RUN_DEQUEUED.value
        event = DagsterEvent(event_type_value=kind, job_name="queued", message="")
        instance.report_dagster_event(event, run.run_id)

    (dequeued,) = dagster_telemetry.events("flowstone.run.dequeued")
    assert (dequeued["actor"], dequeued["actor_type"]) == ("ines@example.com", "user")
    (measured,) = dagster_telemetry.measured("flowstone.run.dequeued")
    assert measured["queue_time"] >= 0


def test_a_run_that_dagster_retries_is_reported_with_the_reason(dagster_telemetry):
    """The tags are those that Dagster's daemon sets."""

    @op
    def breaks():
        raise ConnectionError("closed")

    @job(executor_def=in_process_executor)
    def breaking():
        breaks()

    with DagsterInstance.ephemeral() as instance:
        failed = breaking.execute_in_process(raise_on_error=False, instance=instance)
        (ended,) = dagster_telemetry.events("flowstone.run.exception")
        assert ended["failure_reason"] == "STEP_FAILURE"
        instance.add_run_tags(failed.run_id, {"dagster/failure_reason": "STEP_FAILURE"})
        again = {"parent_run_id": failed.run_id, "root_run_id": failed.run_id}
        retry = instance.create_run_for_job(breaking, tags={"dagster/retry_number": "1"}, **again)
        instance.create_run_for_job(breaking, **again)  # a user's

    (retried,) = dagster_telemetry.events("flowstone.run.retry")
    assert (retried["run_id"], retried["retry_run_id"]) == (failed.run_id, retry.run_id)
    assert (retried["retry_number"], retried["failure_reason"]) == (1, "STEP_FAILURE")
    first, second, third = dagster_telemetry.named("flowstone.run.request")
    assert first.links == ()
    assert second.attributes["flowstone.retry_number"] == 1
    assert "flowstone.retry_number" not in third.attributes
    relations = [link.attributes["flowstone.relation"] for span in (second, third) for link in span.links]
    assert relations == ["retry_of", "reexecution_of"]


@op
def never():
    pass


class BrokenExecutor(Executor):
    retries = RetryMode.DISABLED

    def execute(self, plan_context, execution_plan):
        raise MemoryError("no memory to start workers")


@executor(requirements=multiple_process_executor_requirements())
def broken_executor(_):
    return BrokenExecutor()


@resource
def broken_resource(_):
    raise LookupError("no such warehouse")


@job(executor_def=broken_executor)
def unlucky():
    never()


@op(required_resource_keys={"warehouse"})
def needs_warehouse():
    pass


@job(executor_def=in_process_executor, resource_defs={"warehouse": broken_resource})
def without_warehouse():
    needs_warehouse()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (unlucky, ("run", "job:unlucky", "MemoryError")),
        (without_warehouse, ("resource", "resource:warehouse", "LookupError")),
    ],
)
def test_a_run_that_fails_by_itself_is_one_error(dagster_telemetry, tmp_path, made, expected):
    settings = {"telemetry": {"enabled": False}}
    with DagsterInstance.local_temp(str(tmp_path), overrides=settings) as instance:
        assert not execute_job(reconstructable(made), instance).success

    (error,) = dagster_telemetry.events("flowstone.error")
    assert (error["origin"], error["subject"], error["type"]) == expected


def _and_then(monkeypatch, instance, kind, act):
    """Act once when an event of a kind is in the event log, before the process that stored it reports it."""
    storage = instance.event_log_storage
    store = storage.store_event

    def storing(entry):
        store(entry)
        if entry.dagster_event and entry.dagster_event.event_type_value == kind:
            monkeypatch.setattr(storage, "store_event", store)
            act(entry)

    monkeypatch.setattr(storage, "store_event", storing)


def _kill(tmp_path, name, before_it_is_noticed=lambda instance: None):
    """Execute a job whose process is killed, mark its run as failed and return the run's id."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    environment = {**os.environ, "DAGSTER_HOME": str(home), "SHOP_FOLDER": str(tmp_path)}
    command = [Path(sys.executable).parent / "dagster", "job", "execute", "-m", "killed", "-j", name]
    with DagsterInstance.from_config(str(home)) as instance:
        done = subprocess.run(command, cwd=PROJECTS, env=environment, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        (run,) = instance.get_runs()
        before_it_is_noticed(instance)
        instance.report_run_failed(run, "Detected run worker status FAILED")
    return run.run_id


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_ended_by_the_process_that_notices(dagster_telemetry, tmp_path):
    run_id = _kill(tmp_path, "killed")

    assert _ends(dagster_telemetry, run_id) == ["exception"]
    (failed,) = dagster_telemetry.events("flowstone.materialization.exception")
    assert failed["asset"] == "dies", "the asset before it was made, and the one after it was not tried"
    for name in ("flowstone.run", "flowstone.materialization"):
        (span,) = dagster_telemetry.named(name)
        assert span.end_time > span.start_time
        assert span.status.status_code is StatusCode.ERROR


FAIL = """
import sys
from dagster import DagsterInstance
with DagsterInstance.from_config(sys.argv[1]) as instance:
    instance.report_run_failed(instance.get_run_by_id(sys.argv[2]), "Exceeded maximum runtime")
"""


@pytest.mark.slow
def test_what_another_process_has_reported_as_failed_is_not_canceled_too(dagster_telemetry, tmp_path):
    @asset
    def too_slow(context):
        command = [sys.executable, "-c", FAIL, str(tmp_path), context.run_id]
        subprocess.run(command, capture_output=True, check=True)
        raise KeyboardInterrupt

    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        materialize([too_slow], instance=instance, raise_on_error=False)

    # That process, which is not instrumented here, reports the end of the run and of the materialization.
    assert dagster_telemetry.events("flowstone.materialization.canceled") == []
    (made,) = dagster_telemetry.named("flowstone.materialization")
    assert made.attributes["flowstone.status"] == "interrupted"


@pytest.mark.slow
def test_what_was_canceled_before_another_process_reports_the_run_as_failed_is_canceled(
    dagster_telemetry, monkeypatch, tmp_path
):
    @asset
    def interrupted(context):
        raise KeyboardInterrupt

    def fail_the_run(entry):
        command = [sys.executable, "-c", FAIL, str(tmp_path), entry.run_id]
        subprocess.run(command, capture_output=True, check=True)

    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        _and_then(monkeypatch, instance, "STEP_FAILURE", fail_the_run)
        materialize([interrupted], instance=instance, raise_on_error=False)

    # That process finds in the event log that the step has ended.
    (canceled,) = dagster_telemetry.events("flowstone.materialization.canceled")
    assert canceled["asset"] == "interrupted"


@pytest.mark.slow
def test_what_is_interrupted_after_the_run_has_failed_has_failed_with_it(
    dagster_telemetry, monkeypatch, tmp_path
):
    def interrupt(instance):
        def store_failure_of_step(entry):
            data = StepFailureData(error=None, user_failure_data=None, error_source=ErrorSource.INTERRUPT)
            event = DagsterEvent("STEP_FAILURE", "killed", step_key="dies", event_specific_data=data)
            late = entry._replace(timestamp=entry.timestamp + 0.001, dagster_event=event, step_key="dies")
            instance.event_log_storage.store_event(late)

        _and_then(monkeypatch, instance, "PIPELINE_FAILURE", store_failure_of_step)

    _kill(tmp_path, "killed", interrupt)

    # The step's process finds in the event log that the run has ended before, and reports nothing.
    (failed,) = dagster_telemetry.events("flowstone.materialization.exception")
    assert failed["asset"] == "dies"


@pytest.mark.slow
def test_a_check_whose_process_was_killed_has_failed_to_run(dagster_telemetry, tmp_path):
    _kill(tmp_path, "killed_by_check")

    assert dagster_telemetry.events("flowstone.materialization.exception") == []
    (failed,) = dagster_telemetry.events("flowstone.asset_check.exception")
    assert (failed["asset"], failed["check"]) == ("checked", "kills")
