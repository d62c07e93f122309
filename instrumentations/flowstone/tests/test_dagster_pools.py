"""Pools: steps that wait for a slot, and the slots that Dagster's storage has."""

import pytest
from dagster import DagsterInstance, execute_job, job, multiprocess_executor, op, reconstructable
from dagster._daemon.types import DaemonHeartbeat


@op(pool="warehouse")
def first():
    pass


@op(pool="warehouse")
def second():
    pass


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 4}))
def pooled():
    first()
    second()


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as found:
        yield found


@pytest.mark.slow
def test_a_step_that_waits_for_a_slot_is_reported_with_the_time(dagster_telemetry, instance):
    instance.event_log_storage.set_concurrency_slots("warehouse", 1)
    with execute_job(reconstructable(pooled), instance) as result:
        assert result.success

    blocked = dagster_telemetry.events("flowstone.pool.blocked")
    recorded = [
        event.step_key for event in result.all_events if (event.message or "").startswith("Step blocked by")
    ]
    assert [event["step_key"] for event in blocked] == recorded
    (waited,) = recorded
    claimed = dagster_telemetry.events("flowstone.pool.claimed")
    times = {
        event["step_key"]: measured["wait_time"]
        for event, measured in zip(claimed, dagster_telemetry.measured("flowstone.pool.claimed"), strict=True)
    }
    assert set(times) == {"first", "second"}
    assert {key for key, time in times.items() if time > 0} == {waited}
    assert {event["pool"] for event in (*blocked, *claimed)} == {"warehouse"}


def test_a_daemon_reports_the_slots_of_each_pool(dagster_telemetry, instance):
    storage = instance.event_log_storage
    storage.set_concurrency_slots("warehouse", 3)
    for step in ("a", "b"):
        storage.claim_concurrency_slot("warehouse", "run", step)
    for daemon in ("SENSOR", "SCHEDULER"):
        instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, daemon, "1", []))

    assert len(dagster_telemetry.events("flowstone.pool.state")) == 1
    for name, number in (("slots.claimed", 2), ("slots.free", 1), ("steps.pending", 0)):
        # Old versions of the SDK give the last value to the first collection only.
        instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, "SENSOR", "1", []))
        assert dagster_telemetry.counts(f"flowstone.pool.{name}", "pool") == {"warehouse": number}
