"""Nodes of dbt, which dagster-dbt records in the metadata of its events, are spans with dbt's durations."""

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    Output,
    in_process_executor,
    job,
    op,
)


def _metadata(node, seconds):
    return {"unique_id": node, "Execution Duration": seconds}


@op
def builds(context):
    yield AssetMaterialization("orders", metadata=_metadata("model.shop.orders", 1.5))
    yield AssetCheckEvaluation(
        asset_key=AssetKey("orders"),
        check_name="not_null",
        passed=False,
        metadata=_metadata("test.shop.not_null", 0.25),
    )
    yield AssetObservation("orders", metadata=_metadata("test.shop.unique", 0.5))
    yield AssetMaterialization("other", metadata={"unique_id": "no duration"})
    yield Output(1)


@job(executor_def=in_process_executor)
def building():
    builds()


def test_each_node_is_a_span_under_the_step_with_dbt_s_duration(dagster_telemetry):
    assert building.execute_in_process().success

    spans = dagster_telemetry.named("flowstone.dbt_node")
    assert {span.name: (span.end_time - span.start_time) / 1e9 for span in spans} == {
        "model.shop.orders": 1.5,
        "test.shop.not_null": 0.25,
        "test.shop.unique": 0.5,
    }
    (step,) = dagster_telemetry.named("flowstone.step")
    assert {span.parent.span_id for span in spans} == {step.context.span_id}
    found = {span.name: span.attributes for span in spans}
    assert {each["flowstone.asset"] for each in found.values()} == {"orders"}
    assert found["test.shop.not_null"]["flowstone.check"] == "not_null"
    assert found["test.shop.not_null"]["flowstone.passed"] is False
