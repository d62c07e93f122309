"""A run's trace goes with it, in its tags, over all processes that touch it."""

from dagster import DagsterInstance, job, op
from dagster._core.execution.api import execute_plan
from opentelemetry.sdk.trace import TracerProvider

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@op
def works():
    return 1


@job
def nightly():
    works()


def _trace_id(span):
    return f"{span.context.trace_id:032x}"


def test_the_trace_is_in_the_run_s_tags(dagster_telemetry):
    with DagsterInstance.ephemeral() as instance:
        result = nightly.execute_in_process(instance=instance)
        tags = instance.get_run_by_id(result.run_id).tags

    (request,) = dagster_telemetry.named("flowstone.run.request")
    assert (
        tags["traceparent"]
        == f"00-{_trace_id(request)}-{request.context.span_id:016x}-{request.context.trace_flags:02x}"
    )
    assert {_trace_id(span) for span in dagster_telemetry.spans()} == {_trace_id(request)}


def test_a_parent_that_the_user_gives_by_tag_wins(dagster_telemetry):
    with TracerProvider().get_tracer("test").start_as_current_span("caller"):
        nightly.execute_in_process(tags={"traceparent": GIVEN})

    (run,) = dagster_telemetry.named("flowstone.run")
    assert _trace_id(run) == GIVEN.split("-")[1]
    assert f"{run.parent.span_id:016x}" == GIVEN.split("-")[2]


def test_a_run_that_is_executed_again_has_a_trace_of_its_own_with_a_link(dagster_telemetry):
    with DagsterInstance.ephemeral() as instance:
        first = nightly.execute_in_process(instance=instance)
        tags = instance.get_run_by_id(first.run_id).tags
        again = instance.create_run_for_job(
            nightly, parent_run_id=first.run_id, root_run_id=first.run_id, tags=tags
        )
        assert again.tags["traceparent"] != tags["traceparent"]

    requests = dagster_telemetry.named("flowstone.run.request")
    assert len({_trace_id(span) for span in requests}) == 2
    (link,) = requests[1].links
    assert link.context.trace_id == requests[0].context.trace_id
    assert requests[1].attributes["flowstone.parent_run_id"] == first.run_id


def test_the_end_of_a_run_that_died_is_in_its_trace(dagster_telemetry):
    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nightly)
        instance.report_run_failed(run, "the worker died")

    (request,) = dagster_telemetry.named("flowstone.run.request")
    (ended,) = dagster_telemetry.named("flowstone.run")
    assert ended.parent.span_id == request.context.span_id


def test_a_process_that_executes_one_step_joins_the_run_s_trace(dagster_telemetry):
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import create_execution_plan

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nightly)
        execute_plan(create_execution_plan(nightly), InMemoryJob(nightly), instance, run)

    (request,) = dagster_telemetry.named("flowstone.run.request")
    (step,) = dagster_telemetry.named("flowstone.step")
    assert step.parent.span_id == request.context.span_id


def test_without_a_tracer_runs_get_no_tags():
    from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
    from opentelemetry.trace import NoOpTracerProvider

    DagsterInstrumentor().instrument(tracer_provider=NoOpTracerProvider())
    try:
        with DagsterInstance.ephemeral() as instance:
            result = nightly.execute_in_process(instance=instance)
            assert "traceparent" not in instance.get_run_by_id(result.run_id).tags
    finally:
        DagsterInstrumentor().uninstrument()


def test_each_run_has_its_own_trace(dagster_telemetry):
    with DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            nightly.execute_in_process(instance=instance)

    assert len({_trace_id(span) for span in dagster_telemetry.named("flowstone.run")}) == 2
