import pytest
from dagster import (
    DagsterInstance,
    RunRequest,
    build_schedule_context,
    build_sensor_context,
    job,
    op,
    schedule,
    sensor,
)


@op
def works():
    return 1


@job
def nightly():
    works()


@sensor(job=nightly)
def watches():
    return [RunRequest(run_key="one"), RunRequest(run_key="two")]


@sensor(job=nightly)
def stumbles():
    raise ConnectionError("away")


@schedule(cron_schedule="0 0 * * *", job=nightly)
def every_night():
    return RunRequest()


def test_a_poll_and_what_it_triggers(dagster_telemetry):
    instance = DagsterInstance.ephemeral()
    tick = watches.evaluate_tick(build_sensor_context(instance=instance))
    results = [nightly.execute_in_process(instance=instance, tags=r.tags) for r in tick.run_requests]

    assert [e["sensor"] for e in dagster_telemetry.events("flowstone.sensor.poll")] == ["watches"]
    triggered = dagster_telemetry.events("flowstone.sensor.trigger")
    assert [(e["sensor"], e["run_id"]) for e in triggered] == [("watches", r.run_id) for r in results]


def test_a_failed_sensor_is_an_error_and_raises(dagster_telemetry):
    with pytest.raises(ConnectionError, match="away"):
        stumbles.evaluate_tick(build_sensor_context(instance=DagsterInstance.ephemeral()))

    assert len(dagster_telemetry.events("flowstone.sensor.poll")) == 1
    assert [e["type"] for e in dagster_telemetry.events("flowstone.error")] == ["ConnectionError"]


def test_a_schedule_ticks(dagster_telemetry):
    every_night.evaluate_tick(build_schedule_context(instance=DagsterInstance.ephemeral()))

    assert [e["schedule"] for e in dagster_telemetry.events("flowstone.schedule.tick")] == ["every_night"]


def test_changes_of_a_run_from_outside(dagster_telemetry):
    instance = DagsterInstance.ephemeral()
    run = instance.create_run_for_job(nightly)
    instance.report_run_canceled(run)
    other = instance.create_run_for_job(nightly)
    instance.report_run_failed(other)

    assert [e["run_id"] for e in dagster_telemetry.events("flowstone.run.canceled")] == [run.run_id]
    assert [e["run_id"] for e in dagster_telemetry.events("flowstone.error")] == [other.run_id]
