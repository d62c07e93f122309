from datetime import datetime

import pytest
from dagster import (
    DagsterInstance,
    RunRequest,
    build_sensor_context,
    job,
    op,
    sensor,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._time import get_current_timestamp
from dagster._utils.error import SerializableErrorInfo
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode


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


def test_a_poll_and_what_it_triggers(dagster_telemetry):
    instance = DagsterInstance.ephemeral()
    tick = watches.evaluate_tick(build_sensor_context(instance=instance))
    results = [nightly.execute_in_process(instance=instance, tags=r.tags) for r in tick.run_requests]

    assert [e["sensor"] for e in dagster_telemetry.events("flowstone.sensor.poll")] == ["watches"]
    triggered = dagster_telemetry.events("flowstone.sensor.trigger")
    assert [(e["sensor"], e["run_id"]) for e in triggered] == [("watches", r.run_id) for r in results]


def _tick(instance, kind, name="every_night"):
    data = TickData(
        instigator_origin_id="origin",
        instigator_name=name,
        instigator_type=kind,
        status=TickStatus.STARTED,
        timestamp=get_current_timestamp(),
        selector_id="selector",
    )
    return instance.create_tick(data)


def test_a_tick_is_a_span_around_the_runs_that_it_requests(dagster_telemetry):
    with DagsterInstance.local_temp() as instance:
        tick = _tick(instance, InstigatorType.SCHEDULE)
        run = instance.create_run_for_job(nightly, tags={"dagster/schedule_name": "every_night"})
        instance.update_tick(tick.with_run_info(run.run_id).with_status(TickStatus.SUCCESS))

    (span,) = dagster_telemetry.named("schedule every_night")
    (request,) = dagster_telemetry.named("flowstone.run.request")
    assert request.parent.span_id == span.context.span_id
    assert span.attributes["flowstone.run_ids"] == (run.run_id,)
    assert span.attributes["flowstone.requested_runs"] == 1
    assert span.attributes["flowstone.status"] == "success"
    scheduled = datetime.fromisoformat(span.attributes["flowstone.scheduled_time"])
    assert scheduled.timestamp() == pytest.approx(tick.timestamp, abs=1e-5)
    (ticked,) = dagster_telemetry.events("flowstone.schedule.tick")
    assert (ticked["schedule"], ticked["run_ids"]) == ("every_night", [run.run_id])
    (triggered,) = dagster_telemetry.events("flowstone.schedule.trigger")
    assert (triggered["schedule"], triggered["run_id"]) == ("every_night", run.run_id)
    assert request.attributes["flowstone.actor"] == "schedule:every_night"
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_skipped_tick_has_its_reason(dagster_telemetry):
    with DagsterInstance.local_temp() as instance:
        tick = _tick(instance, InstigatorType.SENSOR, "watches")
        instance.update_tick(tick.with_status(TickStatus.SKIPPED, skip_reason="no new files"))

    (span,) = dagster_telemetry.named("sensor watches")
    assert span.attributes["flowstone.skip_reason"] == "no new files"
    assert span.attributes["flowstone.status"] == "skipped"
    assert span.status.is_unset


@pytest.mark.parametrize("is_started_here", [True, False])
def test_a_failed_tick_is_an_error_of_its_sensor(dagster_telemetry, is_started_here):
    with DagsterInstance.local_temp() as instance:
        if is_started_here:
            tick = _tick(instance, InstigatorType.SENSOR, "stumbles")
        else:
            with suppress_instrumentation():
                tick = _tick(instance, InstigatorType.SENSOR, "stumbles")
        error = SerializableErrorInfo("ConnectionError: away\n", [], "ConnectionError")
        ended = tick.with_status(TickStatus.FAILURE, error=error, end_timestamp=tick.timestamp + 2)
        instance.update_tick(ended)

    (span,) = dagster_telemetry.named("sensor stumbles")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ConnectionError"
    (failed,) = dagster_telemetry.events("flowstone.error")
    assert (failed["origin"], failed["sensor"], failed["type"]) == ("sensor", "stumbles", "ConnectionError")
    assert dagster_telemetry.counts("flowstone.error.count") == {"sensor:stumbles": 1}
    assert dagster_telemetry.counts("flowstone.tick.count", "status") == {"failure": 1}


def test_a_sensor_that_raises_raises_as_without_us(dagster_telemetry):
    with pytest.raises(ConnectionError, match="away"):
        stumbles.evaluate_tick(build_sensor_context(instance=DagsterInstance.ephemeral()))

    assert len(dagster_telemetry.events("flowstone.sensor.poll")) == 1
