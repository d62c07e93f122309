"""Span links: to earlier attempts, to the steps whose outputs a step reads, and between materializations."""

from itertools import pairwise

import pytest
from dagster import (
    AssetDep,
    AssetSpec,
    DagsterEventType,
    DagsterInstance,
    DailyPartitionsDefinition,
    DynamicOut,
    DynamicOutput,
    MaterializeResult,
    ReexecutionOptions,
    RetryPolicy,
    TimeWindowPartitionMapping,
    asset,
    execute_job,
    in_process_executor,
    job,
    materialize,
    multi_asset,
    op,
    reconstructable,
)
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

RELATION = "flowstone.relation"


def _links(span, relation):
    return [link for link in span.links if link.attributes[RELATION] == relation]


def _linked(telemetry, span, relation):
    """Return the spans that a span has links of that relation to."""
    by_id = {each.context.span_id: each for each in telemetry.spans()}
    return [by_id[link.context.span_id] for link in _links(span, relation)]


def _steps(telemetry):
    """Return the spans of steps by step key, each with its attempts."""
    steps = {}
    for span in telemetry.named("flowstone.step"):
        steps.setdefault(span.attributes["flowstone.step_key"], []).append(span)
    return steps


def _materialization(telemetry, asset, partition=None):
    (*_, last) = [
        span
        for span in telemetry.named("flowstone.materialization")
        if span.attributes["flowstone.asset"] == asset
        and span.attributes.get("flowstone.partition") == partition
    ]
    return last


def _assets_linked(telemetry, asset, partition=None):
    linked = _linked(telemetry, _materialization(telemetry, asset, partition), "made_from")
    return sorted(
        (span.attributes["flowstone.asset"], span.attributes.get("flowstone.partition")) for span in linked
    )


@op(retry_policy=RetryPolicy(max_retries=3))
def thrice(context):
    if context.retry_number < 2:
        raise ConnectionError("closed")


@job(executor_def=in_process_executor)
def retried():
    thrice()


def test_an_attempt_links_to_the_attempt_before(dagster_telemetry):
    retried.execute_in_process()

    attempts = _steps(dagster_telemetry)["thrice"]
    assert _links(attempts[0], "retry_of") == []
    for before, attempt in pairwise(attempts):
        assert _linked(dagster_telemetry, attempt, "retry_of") == [before]


@op
def one():
    return 1


@op
def two():
    return 2


@op(out=DynamicOut())
def split():
    for number in range(3):
        yield DynamicOutput(number, mapping_key=f"part_{number}")


@op
def double(number):
    return number * 2


@op
def add(numbers, first, second):
    return sum(numbers) + first + second


@job(executor_def=in_process_executor)
def fans_in():
    add(split().map(double).collect(), one(), two())


def test_a_step_links_to_the_steps_whose_outputs_it_reads(dagster_telemetry):
    fans_in.execute_in_process()

    steps = {key: attempts[0] for key, attempts in _steps(dagster_telemetry).items()}
    parts = [f"double[part_{number}]" for number in range(3)]
    read = _linked(dagster_telemetry, steps["add"], "input")
    assert {span.attributes["flowstone.step_key"] for span in read} == {*parts, "one", "two"}
    for part in parts:
        assert _linked(dagster_telemetry, steps[part], "input") == [steps["split"]]
    assert steps["split"].links == ()


@op
def fails_once(context, first, second):
    if context.run.parent_run_id is None:
        raise ConnectionError("closed")
    return first + second


@op
def last(number):
    return number


@job(executor_def=in_process_executor)
def resumable():
    last(fails_once(one(), two()))


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as found:
        yield found


def _execute(instance, again=None):
    options = None if again is None else ReexecutionOptions.from_failure(again, instance)
    job = reconstructable(resumable)
    with execute_job(job, instance, reexecution_options=options) as result:
        return result


@pytest.mark.slow
def test_a_step_that_is_executed_again_links_to_the_steps_of_the_run_before(dagster_telemetry, instance):
    first = _execute(instance)
    again = _execute(instance, first.run_id)

    assert (first.success, again.success) == (False, True)
    steps = _steps(dagster_telemetry)
    before, repeated = steps["fails_once"]
    assert _linked(dagster_telemetry, repeated, "input") == [steps["one"][0], steps["two"][0]]
    for name in ("flowstone.run.request", "flowstone.run"):
        (link,) = _links(dagster_telemetry.named(name)[1], "reexecution_of")
        assert link.context.trace_id == before.context.trace_id
        assert link.attributes["flowstone.run_id"] == first.run_id


@pytest.mark.slow
def test_a_re_execution_of_a_subset_links_to_the_run_before(dagster_telemetry, instance):
    first = _execute(instance)
    options = ReexecutionOptions(first.run_id, step_selection=["fails_once*"])
    with execute_job(reconstructable(resumable), instance, reexecution_options=options) as again:
        assert again.success

    steps = _steps(dagster_telemetry)
    assert _linked(dagster_telemetry, steps["fails_once"][1], "input") == [steps["one"][0], steps["two"][0]]
    (link,) = _links(dagster_telemetry.named("flowstone.run")[1], "reexecution_of")
    assert link.attributes["flowstone.run_id"] == first.run_id


def _forget():
    """Make this process like another one, which has not seen the spans."""
    DagsterInstrumentor().uninstrument()
    DagsterInstrumentor().instrument()


@pytest.mark.slow
def test_a_process_that_has_not_seen_a_span_finds_it_in_the_event_log(dagster_telemetry, instance):
    first = _execute(instance)
    _forget()
    _execute(instance, first.run_id)

    steps = _steps(dagster_telemetry)
    assert _linked(dagster_telemetry, steps["fails_once"][1], "input") == [steps["one"][0], steps["two"][0]]
    starts = instance.all_logs(first.run_id, of_type=DagsterEventType.STEP_START)
    assert all("traceparent" in entry.dagster_event.logging_tags for entry in starts)


@asset
def orders():
    return 1


@asset
def customers():
    return 2


@asset
def joined(orders, customers):
    return orders + customers


def test_a_materialization_links_to_those_that_it_was_made_from(dagster_telemetry):
    materialize([orders, customers, joined])

    assert _assets_linked(dagster_telemetry, "joined") == [("customers", None), ("orders", None)]
    assert _materialization(dagster_telemetry, "orders").links == ()


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_materialization_links_to_those_of_earlier_runs(dagster_telemetry, is_remembered):
    with DagsterInstance.ephemeral() as instance:
        materialize([orders, customers], instance=instance)
        first = materialize([orders, customers], instance=instance)
        if not is_remembered:
            _forget()
        materialize([orders, customers, joined], instance=instance, selection=["joined"])

    made = _materialization(dagster_telemetry, "joined")
    assert _assets_linked(dagster_telemetry, "joined") == [("customers", None), ("orders", None)]
    assert {link.attributes["flowstone.run_id"] for link in _links(made, "made_from")} == {first.run_id}


@multi_asset(specs=[AssetSpec("raw"), AssetSpec("clean", deps=["raw"])])
def ingested():
    yield MaterializeResult(asset_key="raw")
    yield MaterializeResult(asset_key="clean")


def test_the_assets_of_one_step_are_linked(dagster_telemetry):
    materialize([ingested])

    assert _assets_linked(dagster_telemetry, "clean") == [("raw", None)]


DAYS = DailyPartitionsDefinition("2026-01-01", end_date="2026-01-10")


@asset(partitions_def=DAYS)
def visits():
    return None


@asset(
    partitions_def=DAYS,
    deps=[AssetDep(visits, partition_mapping=TimeWindowPartitionMapping(start_offset=-1))],
)
def two_days():
    return None


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_materialization_links_to_the_partitions_that_it_was_made_from(dagster_telemetry, is_remembered):
    with DagsterInstance.ephemeral() as instance:
        for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
            materialize([visits], instance=instance, partition_key=day)
        if not is_remembered:
            _forget()
        materialize([visits, two_days], instance=instance, partition_key="2026-01-02", selection=["two_days"])

    assert _assets_linked(dagster_telemetry, "two_days", "2026-01-02") == [
        ("visits", "2026-01-01"),
        ("visits", "2026-01-02"),
    ]


def test_a_materialization_has_a_bounded_number_of_links(dagster_telemetry):
    from opentelemetry.instrumentation.flowstone.dagster._links import LINKS_LIMIT

    sources = [_source(number) for number in range(LINKS_LIMIT + 5)]

    @asset(deps=sources)
    def wide():
        return None

    materialize([*sources, wide])

    (step,) = _steps(dagster_telemetry)["wide"]
    assert len(step.links) == LINKS_LIMIT
    assert len(_materialization(dagster_telemetry, "wide").links) == LINKS_LIMIT


def _source(number):
    @asset(name=f"source_{number}")
    def source():
        return None

    return source
