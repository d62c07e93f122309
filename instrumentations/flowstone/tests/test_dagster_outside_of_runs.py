"""Events that Dagster stores outside of runs, or for storages that not every edition has."""

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterEvent,
    DagsterInstance,
)
from dagster._core.definitions.events import (
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
)
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._utils.error import SerializableErrorInfo


def test_events_that_a_user_or_another_system_reports_are_reported(dagster_telemetry):
    with DagsterInstance.local_temp() as instance:
        instance.report_runless_asset_event(AssetMaterialization("orders", partition="east"))
        instance.report_runless_asset_event(AssetObservation("orders"))
        instance.report_runless_asset_event(
            AssetCheckEvaluation(asset_key=AssetKey("orders"), check_name="not_empty", passed=False)
        )

    (made,) = dagster_telemetry.events("flowstone.materialization.stop")
    assert (made["asset"], made["partition"]) == ("orders", "east")
    (observed,) = dagster_telemetry.events("flowstone.asset.observed")
    assert observed["asset"] == "orders"
    (checked,) = dagster_telemetry.events("flowstone.asset_check.evaluated")
    assert (checked["check"], checked["passed"]) == ("not_empty", False)


def test_a_change_of_an_asset_s_freshness_is_reported(dagster_telemetry):
    change = FreshnessStateChange(
        key=AssetKey("orders"),
        previous_state=FreshnessState.PASS,
        new_state=FreshnessState.FAIL,
        state_change_timestamp=1.0,
    )
    with DagsterInstance.local_temp() as instance:
        instance._report_runless_asset_event(change)  # as Dagster's freshness daemon does

    (changed,) = dagster_telemetry.events("flowstone.asset.freshness_changed")
    assert (changed["asset"], changed["freshness"], changed["previous_freshness"]) == (
        "orders",
        "FAIL",
        "PASS",
    )


def _report_failure(instance):
    failure = AssetMaterializationFailure(
        asset_key="orders",
        failure_type=AssetMaterializationFailureType.FAILED,
        reason=AssetMaterializationFailureReason.FAILED_TO_MATERIALIZE,
        partition="east",
    )
    error = SerializableErrorInfo("ConnectionError: closed\n", [], "ConnectionError")
    event = DagsterEvent.build_asset_failed_to_materialize_event("job", "orders", failure, error=error)
    instance.report_dagster_event(event, "run")


def test_an_asset_that_failed_to_materialize_is_reported_if_dagster_stores_it(dagster_telemetry, monkeypatch):
    with DagsterInstance.local_temp() as instance:
        _report_failure(instance)
        assert dagster_telemetry.events("flowstone.asset.failed_to_materialize") == []
        # Only some storages store this event.
        monkeypatch.setattr(SqliteEventLogStorage, "can_store_asset_failure_events", True)
        _report_failure(instance)

    (failed,) = dagster_telemetry.events("flowstone.asset.failed_to_materialize")
    assert (failed["asset"], failed["partition"], failed["failure_kind"]) == ("orders", "east", "FAILED")
    assert failed["reason"] == "FAILED_TO_MATERIALIZE"
    assert (failed["error_type"], failed["error_message"]) == ("ConnectionError", "closed")
