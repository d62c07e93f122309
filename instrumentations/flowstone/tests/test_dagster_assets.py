"""Materializations, checks and observations, one for one as in Dagster's event log."""

from collections import Counter

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetOut,
    AssetSpec,
    BackfillPolicy,
    DagsterEventType,
    DagsterInstance,
    DataVersion,
    ExpectationResult,
    MaterializeResult,
    Output,
    RetryPolicy,
    StaticPartitionsDefinition,
    asset,
    asset_check,
    graph_asset,
    in_process_executor,
    job,
    materialize,
    multi_asset,
    op,
    success_hook,
)

COLOURS = StaticPartitionsDefinition(["red", "green", "blue"])


def _recorded(instance, kind=DagsterEventType.ASSET_MATERIALIZATION):
    """Return what Dagster recorded: asset and partition to count."""
    recorded = Counter()
    for run in instance.get_runs():
        for entry in instance.all_logs(run.run_id, of_type=kind):
            event = entry.dagster_event
            recorded[event.asset_key.to_user_string(), event.partition] += 1
    return recorded


def _reported(telemetry, phase="stop"):
    events = telemetry.events(f"flowstone.materialization.{phase}")
    return Counter((event["asset"], event.get("partition")) for event in events)


@multi_asset(specs=[AssetSpec(name, skippable=True) for name in ("a", "b", "c")], can_subset=True)
def several(context):
    for key in sorted(context.selected_asset_keys):
        yield MaterializeResult(asset_key=key)


@pytest.mark.parametrize("selection", [None, ["a", "c"]])
def test_each_asset_of_a_step_is_one_materialization_also_of_a_subset(dagster_telemetry, selection):
    with DagsterInstance.ephemeral() as instance:
        assert materialize([several], instance=instance, selection=selection).success
        recorded = _recorded(instance)

    assert set(recorded) == {(name, None) for name in selection or "abc"}
    assert _reported(dagster_telemetry) == recorded
    assert _reported(dagster_telemetry, "start") == recorded
    made = dagster_telemetry.named("flowstone.materialization")
    assert len(made) == len(recorded)
    (step,) = dagster_telemetry.named("flowstone.step")
    assert {span.parent.span_id for span in made} == {step.context.span_id}
    started, stopped = (
        {
            event["telemetry_span_context"]
            for event in dagster_telemetry.events(f"flowstone.materialization.{phase}")
        }
        for phase in ("start", "stop")
    )
    assert started == stopped, "the start and the end of a materialization are in one span"


def test_an_optional_output_that_is_not_yielded_is_not_a_success(dagster_telemetry):
    @multi_asset(outs={"always": AssetOut(), "maybe": AssetOut(is_required=False)})
    def some():
        yield Output(1, "always")

    assert materialize([some]).success
    assert _reported(dagster_telemetry) == {("always", None): 1}
    assert _reported(dagster_telemetry, "skipped") == {("maybe", None): 1}
    assert dagster_telemetry.counts("flowstone.materialization.stop.count") == {"always": 1}


def test_a_run_over_several_partitions_counts_each(dagster_telemetry):
    @asset(partitions_def=COLOURS, backfill_policy=BackfillPolicy.single_run())
    def painted() -> None:
        pass

    tags = {"dagster/asset_partition_range_start": "red", "dagster/asset_partition_range_end": "blue"}
    with DagsterInstance.ephemeral() as instance:
        assert materialize([painted], instance=instance, tags=tags).success
        recorded = _recorded(instance)

    assert set(recorded) == {("painted", colour) for colour in ("red", "green", "blue")}
    assert _reported(dagster_telemetry) == recorded
    assert _reported(dagster_telemetry, "start") == recorded


def test_an_unpartitioned_asset_in_a_partitioned_run_has_no_partition(dagster_telemetry):
    @asset(partitions_def=COLOURS)
    def painted():
        return 1

    @asset(deps=[painted])
    def plain():
        return 1

    with DagsterInstance.ephemeral() as instance:
        assert materialize([painted, plain], instance=instance, partition_key="red").success
        recorded = _recorded(instance)

    assert set(recorded) == {("painted", "red"), ("plain", None)}
    assert _reported(dagster_telemetry) == recorded


def test_a_failing_step_fails_only_what_it_has_not_materialized(dagster_telemetry):
    @multi_asset(specs=[AssetSpec("done"), AssetSpec("undone")], retry_policy=RetryPolicy(max_retries=1))
    def half():
        yield MaterializeResult(asset_key="done")
        raise ConnectionError("away")

    with DagsterInstance.ephemeral() as instance:
        materialize([half], instance=instance, raise_on_error=False)
        assert _reported(dagster_telemetry) == _recorded(instance)

    assert _reported(dagster_telemetry, "exception") == {("undone", None): 2}
    assert [event["retryable"] for event in dagster_telemetry.events("flowstone.error")] == [True, False]


def test_logged_and_yielded_materializations_count(dagster_telemetry):
    @op
    def logs(context):
        context.log_event(AssetMaterialization("logged"))

    @job(executor_def=in_process_executor)
    def logging():
        logs()

    with DagsterInstance.ephemeral() as instance:
        assert logging.execute_in_process(instance=instance).success
        instance.report_runless_asset_event(AssetMaterialization("external", partition="red"))

    assert _reported(dagster_telemetry) == {("logged", None): 1, ("external", "red"): 1}


def test_ops_of_a_graph_asset_are_steps_and_one_materialization(dagster_telemetry):
    @op
    def first():
        return 1

    @op
    def second(number):
        return number + 1

    @graph_asset
    def computed():
        return second(first())

    assert materialize([computed]).success
    assert _reported(dagster_telemetry) == {("computed", None): 1}
    assert _reported(dagster_telemetry, "start") == {("computed", None): 1}
    assert len(dagster_telemetry.named("flowstone.step")) == 2


def test_sizes_are_those_of_each_asset(dagster_telemetry):
    @multi_asset(outs={"small": AssetOut(), "large": AssetOut()})
    def both():
        yield Output(b"1", "small")
        yield Output(b"12345", "large")

    from dagster import mem_io_manager

    assert materialize([both], resources={"io_manager": mem_io_manager}).success
    sizes = {
        event["asset"]: measured["result_size"]
        for event, measured in zip(
            dagster_telemetry.events("flowstone.materialization.stop"),
            dagster_telemetry.measured("flowstone.materialization.stop"),
            strict=True,
        )
    }
    assert sizes == {"small": 1, "large": 5}


@asset
def seed():
    return "seed"


def test_a_check_is_a_span_and_a_series_with_its_severity(dagster_telemetry):
    @asset_check(asset=seed)
    def is_long(seed):
        return AssetCheckResult(passed=False, severity=AssetCheckSeverity.WARN)

    assert materialize([seed, is_long]).success
    (span,) = dagster_telemetry.named("flowstone.asset_check")
    assert span.attributes["flowstone.check"] == "is_long"
    assert span.attributes["flowstone.passed"] is False
    assert span.attributes["flowstone.severity"] == "WARN"
    assert dagster_telemetry.counts("flowstone.asset_check.count", "check") == {"is_long": 1}


def test_a_blocking_check_that_fails_its_step_leaves_the_materialization_a_success(dagster_telemetry):
    @asset(check_specs=[AssetCheckSpec("is_long", asset="checked", blocking=True)])
    def checked():
        yield Output("x")
        yield AssetCheckResult(passed=False)

    with DagsterInstance.ephemeral() as instance:
        assert not materialize([checked], instance=instance, raise_on_error=False).success
        assert _reported(dagster_telemetry) == _recorded(instance) == {("checked", None): 1}
    (evaluated,) = dagster_telemetry.events("flowstone.asset_check.evaluated")
    assert evaluated["blocking"] is True
    assert not dagster_telemetry.events("flowstone.materialization.exception")
    assert len(dagster_telemetry.events("flowstone.error")) == 1


def test_a_check_that_raises_failed_to_run_and_retries_no_asset(dagster_telemetry):
    @asset_check(asset=seed, retry_policy=RetryPolicy(max_retries=1))
    def breaks(seed):
        raise ConnectionError("away")

    materialize([seed, breaks], raise_on_error=False)

    failed = dagster_telemetry.events("flowstone.asset_check.exception")
    assert {(event["asset"], event["check"], event["error_type"]) for event in failed} == {
        ("seed", "breaks", "ConnectionError")
    }
    assert not dagster_telemetry.events("flowstone.materialization.retry")
    assert not dagster_telemetry.events("flowstone.materialization.exception")
    assert {event["origin"] for event in dagster_telemetry.events("flowstone.error")} == {"check"}


def test_observations_expectations_hooks_and_skipped_steps_are_events(dagster_telemetry):
    @op
    def observes(context):
        context.log_event(AssetObservation("watched", partition="red"))
        yield ExpectationResult(success=False, label="positive")
        yield Output(1)

    @op
    def fails(before):
        raise ValueError("cannot")

    @op
    def follows(before):
        return before

    @success_hook
    def announce(context):
        pass

    @success_hook
    def breaks(context):
        raise RuntimeError("hook")

    @job(executor_def=in_process_executor, hooks={announce, breaks})
    def eventful():
        follows(fails(observes()))

    eventful.execute_in_process(raise_on_error=False)

    (observed,) = dagster_telemetry.events("flowstone.asset.observed")
    assert (observed["asset"], observed["partition"]) == ("watched", "red")
    (expected,) = dagster_telemetry.events("flowstone.step.expectation")
    assert (expected["expectation"], expected["passed"]) == ("positive", False)
    assert [event["hook"] for event in dagster_telemetry.events("flowstone.hook.completed")] == ["announce"]
    (errored,) = dagster_telemetry.events("flowstone.hook.errored")
    assert errored["error_type"] == "RuntimeError"
    assert dagster_telemetry.counts("flowstone.asset.observation.count") == {"watched": 1}
    # Dagster stores no STEP_SKIPPED for a step whose upstream failed in process, so none is reported.
    assert len(dagster_telemetry.events("flowstone.step.skipped")) == 0


def test_a_wiped_asset_is_an_event(dagster_telemetry):
    with DagsterInstance.ephemeral() as instance:
        materialize([seed], instance=instance)
        instance.wipe_assets([AssetKey("seed")])
        recorded = bool(dagster_telemetry.events("flowstone.asset.wiped"))
    assert recorded


def test_a_materialization_carries_what_dagster_records_of_it(dagster_telemetry):
    @asset(
        code_version="7", group_name="sales", owners=["team:data"], kinds={"table"}, tags={"domain": "shop"}
    )
    def detailed(seed):
        return MaterializeResult(
            metadata={"dagster/row_count": 12, "source": "erp", "password": "hunter2"},
            data_version=DataVersion("v1"),
        )

    assert materialize([seed, detailed]).success
    made = {s.attributes["flowstone.asset"]: s for s in dagster_telemetry.named("flowstone.materialization")}
    attributes = made["detailed"].attributes
    assert attributes["flowstone.row_count"] == 12
    assert (attributes["flowstone.data_version"], attributes["flowstone.code_version"]) == ("v1", "7")
    assert attributes["flowstone.upstream"] == ("seed",)
    assert attributes["flowstone.group"] == "sales"
    assert attributes["flowstone.owners"] == ("team:data",)
    assert attributes["flowstone.kinds"] == ("table",)
    assert attributes["flowstone.tags"] == ("domain=shop",)
    assert set(attributes["flowstone.metadata"]) == {
        "dagster/row_count=12",
        "source=erp",
        "password=[REDACTED]",
    }
    assert attributes["flowstone.step_key"] == "detailed"
