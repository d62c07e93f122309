import contextvars

import pytest
from dagster import (
    AssetCheckResult,
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    DynamicOut,
    DynamicOutput,
    Failure,
    FilesystemIOManager,
    IOManager,
    MaterializeResult,
    OutputContext,
    ResourceDefinition,
    RetryPolicy,
    RetryRequested,
    StaticPartitionsDefinition,
    UPathIOManager,
    asset,
    asset_check,
    graph,
    in_process_executor,
    job,
    materialize,
    multi_asset,
    op,
)
from opentelemetry import trace
from opentelemetry.instrumentation.flowstone import checkpoints
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode
from upath import UPath

from assay.instrumentation.testing import InMemoryTelemetry
from assay.telemetry.spans import qualified_name


@asset
def seed():
    return "seed"


@asset
def leaf(seed):
    return seed + "-leaf"


@asset
def broken(leaf):
    raise ValueError("cannot")


def test_a_run_its_assets_and_their_io_are_one_trace(dagster_telemetry, tmp_path):
    files = FilesystemIOManager(base_dir=str(tmp_path))
    result = materialize([seed, leaf], resources={"io_manager": files})

    assert result.success
    spans = dagster_telemetry.spans()
    assert len({span.context.trace_id for span in spans}) == 1
    (run,) = dagster_telemetry.named("flowstone.run")
    (request,) = dagster_telemetry.named("flowstone.run.request")
    assert request.parent is None
    assert run.parent.span_id == request.context.span_id
    assert run.attributes["flowstone.run_id"] == result.run_id
    by_id = {span.context.span_id: span for span in spans}
    made = {s.attributes["flowstone.asset"]: s for s in dagster_telemetry.named("flowstone.materialization")}
    assert set(made) == {"seed", "leaf"}
    (load,) = dagster_telemetry.named("flowstone.io.load")
    steps = {s.attributes["flowstone.step_key"]: s for s in dagster_telemetry.named("flowstone.step")}
    assert by_id[load.parent.span_id] is steps["leaf"]
    assert {by_id[span.parent.span_id] for span in made.values()} == set(steps.values())
    assert {span.parent.span_id for span in steps.values()} == {run.context.span_id}
    assert load.attributes["flowstone.asset"] == "seed"
    assert {s.attributes["assay.correlation_id"] for s in spans} == {result.run_id}
    # The first collection: older SDKs report a gauge only in the first one after it was set.
    assert dagster_telemetry.counts("flowstone.resource.healthy", "resource") == {"io_manager": 1}
    size = (tmp_path / "seed").stat().st_size
    assert dagster_telemetry.counts("flowstone.io.load.size_bytes") == {"seed": size}
    assert dagster_telemetry.counts("flowstone.io.store.size_bytes")["seed"] == size
    assert dagster_telemetry.counts("flowstone.materialization.stop.count") == {"seed": 1, "leaf": 1}


class Versioned(UPathIOManager):
    """Writes to another file each time that it asks itself where to."""

    def __init__(self, base):
        super().__init__(base_path=base)
        self.versions = 0

    def get_asset_relative_path(self, context):
        if isinstance(context, OutputContext):
            self.versions += 1
        return UPath(f"{context.asset_key.to_user_string()}-{self.versions}")

    def dump_to_path(self, context, obj, path):
        path.write_bytes(obj)

    def load_from_path(self, context, path):
        return path.read_bytes()


def test_the_size_is_that_of_the_file_that_the_manager_chose(dagster_telemetry, tmp_path):
    @asset
    def data():
        return b"12345"

    @asset
    def reads(data):
        return data[:1]

    files = Versioned(UPath(tmp_path))
    assert materialize([data, reads], resources={"io_manager": files}).success
    assert files.versions == 2
    assert dagster_telemetry.counts("flowstone.io.store.size_bytes") == {"data": 5, "reads": 1}
    assert dagster_telemetry.counts("flowstone.io.load.size_bytes") == {"data": 5}


def test_user_code_runs_inside_its_span(dagster_telemetry):
    seen = []

    @asset
    def looks():
        seen.append(trace.get_current_span().get_span_context().span_id)
        checkpoints.request("publish")

    result = materialize([looks])

    (span,) = dagster_telemetry.named("flowstone.step")
    assert seen == [span.context.span_id]
    assert not trace.get_current_span().get_span_context().is_valid
    (requested,) = dagster_telemetry.events("flowstone.checkpoint.requested")
    assert result.success
    assert requested["correlation_id"] == requested["approval_id"]


def test_a_failure_is_one_error_and_the_run_fails(dagster_telemetry):
    result = materialize([seed, leaf, broken], raise_on_error=False)

    assert not result.success
    (error,) = dagster_telemetry.events("flowstone.error")
    assert (error["type"], error["message"], error["asset"], error["retryable"]) == (
        "ValueError",
        "cannot",
        "broken",
        False,
    )
    assert dagster_telemetry.counts("flowstone.materialization.exception.count") == {"broken": 1}
    failed = [
        s
        for s in dagster_telemetry.named("flowstone.materialization")
        if s.status.status_code is StatusCode.ERROR
    ]
    assert [s.attributes["error.type"] for s in failed] == ["ValueError"]
    (run,) = dagster_telemetry.named("flowstone.run")
    assert run.status.status_code is StatusCode.ERROR
    assert len(dagster_telemetry.events("flowstone.run.exception")) == 1


def _flaky(policy, raised):
    calls = []

    @asset(retry_policy=policy)
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise raised()
        return 1

    return flaky


@pytest.mark.parametrize(
    ("policy", "raised"),
    [(RetryPolicy(max_retries=2), ConnectionError), (None, lambda: RetryRequested(max_retries=2))],
)
def test_each_attempt_is_a_span_and_retries_are_retryable(dagster_telemetry, policy, raised):
    assert materialize([_flaky(policy, raised)]).success

    assert dagster_telemetry.counts("flowstone.materialization.start.count") == {"flaky": 3}
    assert dagster_telemetry.counts("flowstone.materialization.exception.count") == {"flaky": 2}
    assert dagster_telemetry.counts("flowstone.materialization.stop.count") == {"flaky": 3}
    assert dagster_telemetry.counts("flowstone.materialization.stop.count", "status") == {
        "success": 1,
        "failure": 2,
    }
    retries = dagster_telemetry.events("flowstone.materialization.retry")
    assert [retry["attempt"] for retry in retries] == [2, 3]
    assert dagster_telemetry.counts("flowstone.error.count", "retryable") == {"true": 2}


def test_the_last_attempt_is_not_retryable(dagster_telemetry):
    materialize([_flaky(RetryPolicy(max_retries=1), ConnectionError)], raise_on_error=False)

    assert [e["retryable"] for e in dagster_telemetry.events("flowstone.error")] == [True, False]


def test_partitions_are_named(dagster_telemetry):
    colours = StaticPartitionsDefinition(["red", "blue"])

    @asset(partitions_def=colours)
    def painted(context):
        return context.partition_key

    materialize([painted], partition_key="red")

    (made,) = dagster_telemetry.events("flowstone.materialization.stop")
    assert made["partition"] == "red"
    (stored,) = dagster_telemetry.events("flowstone.io.store.stop")
    assert stored["partition"] == "red"


def test_a_check_is_not_a_materialization(dagster_telemetry):
    @asset_check(asset=seed)
    def is_long(seed):
        return AssetCheckResult(passed=False)

    materialize([seed, is_long])

    (checked,) = dagster_telemetry.events("flowstone.asset_check.evaluated")
    assert (checked["asset"], checked["check"], checked["passed"]) == ("seed", "is_long", False)
    assert dagster_telemetry.counts("flowstone.materialization.start.count") == {"seed": 1}


def test_ops_are_steps_and_not_materializations(dagster_telemetry):
    @op(out=DynamicOut())
    def spread():
        for number in range(3):
            yield DynamicOutput(number, mapping_key=str(number))

    @op
    def double(number):
        return number * 2

    @job(executor_def=in_process_executor)
    def mapped():
        spread().map(double)

    assert mapped.execute_in_process().success
    assert not dagster_telemetry.events("flowstone.materialization.start")
    steps = [span.attributes for span in dagster_telemetry.named("flowstone.step")]
    assert [step["flowstone.op"] for step in steps] == ["spread", "double", "double", "double"]
    assert [step.get("flowstone.mapping_key") for step in steps] == [None, "0", "1", "2"]
    assert {step["flowstone.step_kind"] for step in steps} == {"op"}
    assert dagster_telemetry.counts("flowstone.io.load.count") == {"spread": 3}


def test_a_step_of_several_assets_is_a_materialization_of_each(dagster_telemetry):
    @multi_asset(specs=[AssetSpec("left"), AssetSpec("right")])
    def both():
        yield MaterializeResult(asset_key="left")
        yield MaterializeResult(asset_key="right")

    assert materialize([both]).success
    assert dagster_telemetry.counts("flowstone.materialization.stop.count") == {"left": 1, "right": 1}


class Generating(IOManager):
    """Its handle_output is a generator, which Dagster treats otherwise."""

    def handle_output(self, context, obj):
        yield AssetMaterialization(AssetKey("extra"))

    def load_input(self, context):
        return b"1234"


def test_an_io_manager_that_yields_is_measured(dagster_telemetry):
    @asset
    def data():
        return b"12"

    @asset
    def reads(data):
        return data + b"5"

    result = materialize([data, reads], resources={"io_manager": Generating()})

    assert result.success
    assert dagster_telemetry.counts("flowstone.io.store.count") == {"data": 1, "reads": 1}
    assert dagster_telemetry.counts("flowstone.io.store.size_bytes") == {"data": 2, "reads": 5}
    assert dagster_telemetry.counts("flowstone.io.load.size_bytes") == {"data": 4}
    assert len([e for e in result.all_events if e.event_type_value == "ASSET_MATERIALIZATION"]) == 4


def test_a_store_that_fails_is_an_error_of_the_asset(dagster_telemetry):
    class Full(IOManager):
        def handle_output(self, context, obj):
            raise OSError("disk full")

        def load_input(self, context):
            raise NotImplementedError

    materialize([seed], resources={"io_manager": Full()}, raise_on_error=False)

    (store,) = dagster_telemetry.named("flowstone.io.store")
    assert store.status.status_code is StatusCode.ERROR
    assert dagster_telemetry.counts("flowstone.error.count", "error_type") == {"OSError": 1}


def test_a_resource_that_fails_is_unhealthy(dagster_telemetry):
    def fails(_context):
        raise ConnectionError("away")

    @asset(required_resource_keys={"warehouse"})
    def needs():
        return 1

    resources = {"warehouse": ResourceDefinition(fails)}
    assert not materialize([needs], resources=resources, raise_on_error=False).success

    health = {
        e["resource"]: e["healthy"] for e in dagster_telemetry.events("flowstone.resource.health_check")
    }
    assert health["warehouse"] is False
    assert [e["type"] for e in dagster_telemetry.events("flowstone.error")] == ["ConnectionError"]


def test_hooks_get_the_spans_and_may_fail(telemetry):
    seen = []

    def name_the_owner(span, step_context):
        span.set_attribute("shop.owner", step_context.op.name)

    def fails(span, dagster_run):
        raise RuntimeError("hook")

    DagsterInstrumentor().instrument(
        materialization_request_hook=name_the_owner,
        materialization_response_hook=lambda span, context, error: seen.append((context.op.name, str(error))),
        run_request_hook=fails,
        run_response_hook=lambda span, run, outcome: seen.append((run.job_name, outcome.event_type_value)),
    )
    try:
        result = materialize([seed, leaf, broken], raise_on_error=False)
    finally:
        DagsterInstrumentor().uninstrument()

    owners = [s.attributes["shop.owner"] for s in telemetry.named("flowstone.step")]
    assert owners == ["seed", "leaf", "broken"]
    job = result.dagster_run.job_name
    assert seen == [("seed", "None"), ("leaf", "None"), ("broken", "cannot"), (job, "PIPELINE_FAILURE")]
    assert len(telemetry.named("flowstone.run")) == 1


class UnreadableError(Exception):
    """An error whose type has a module."""


@pytest.mark.parametrize(
    "raised", [ValueError, UnreadableError, Failure, type("InMain", (Exception,), {"__module__": "__main__"})]
)
def test_the_error_type_of_a_run_is_that_of_its_step(dagster_telemetry, raised):
    @asset
    def fails():
        raise raised("cannot: not at all")

    materialize([fails], raise_on_error=False)

    (step,) = dagster_telemetry.named("flowstone.materialization")
    (run,) = dagster_telemetry.named("flowstone.run")
    assert step.attributes["error.type"] == qualified_name(raised)
    assert run.attributes["error.type"] == qualified_name(raised)


def test_instrumented_alone_with_providers_it_emits_spans():
    with InMemoryTelemetry() as sdk:
        DagsterInstrumentor().instrument(**sdk.providers)
        try:
            materialize([seed])
        finally:
            DagsterInstrumentor().uninstrument()
        materialize([seed])

        assert len(sdk.spans()) == 5
        assert len(sdk.spans("flowstone.run")) == 1


def test_nothing_is_emitted_while_suppressed(dagster_telemetry):
    with suppress_instrumentation():
        assert materialize([seed, leaf]).success

    assert dagster_telemetry.emitted == []


def test_context_variables_of_user_code_live_as_without_us(dagster_telemetry):
    variable = contextvars.ContextVar("variable", default="unset")

    @op
    def sets():
        variable.set("set")

    @op
    def reads(_before):
        return variable.get()

    @job(executor_def=in_process_executor)
    def both():
        reads(sets())

    assert both.execute_in_process().output_for_node("reads") == "set"


def test_a_nested_graph_names_its_ops_by_their_path(dagster_telemetry):
    @op
    def inner():
        return 1

    @graph
    def outer():
        return inner()

    @job(executor_def=in_process_executor)
    def nested():
        outer()

    assert nested.execute_in_process().success
    (step,) = dagster_telemetry.named("flowstone.step")
    assert step.attributes["flowstone.op"] == "outer.inner"


def test_a_run_is_in_the_trace_of_its_caller(dagster_telemetry):
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider().get_tracer("test").start_as_current_span("mine") as mine:
        materialize([seed])

    (run,) = dagster_telemetry.named("flowstone.run")
    assert run.context.trace_id == mine.get_span_context().trace_id


def test_two_runs_have_two_traces(dagster_telemetry):
    instance = DagsterInstance.ephemeral()
    materialize([seed], instance=instance)
    materialize([seed], instance=instance)

    assert len({run.context.trace_id for run in dagster_telemetry.named("flowstone.run")}) == 2


def test_a_cancelled_run_ends_once(dagster_telemetry):
    @op
    def interrupted(context):
        context.instance.report_run_canceling(context.run)
        raise KeyboardInterrupt

    @job(executor_def=in_process_executor)
    def stopped():
        interrupted()

    result = stopped.execute_in_process(raise_on_error=False)

    assert result.all_events[-1].event_type_value == "PIPELINE_CANCELED"
    (canceled,) = dagster_telemetry.events("flowstone.run.canceled")
    assert canceled["run_id"] == result.run_id
    assert not dagster_telemetry.events("flowstone.run.exception"), "a run ends once"
    assert not dagster_telemetry.events("flowstone.run.stop")
    (run,) = dagster_telemetry.named("flowstone.run")
    assert run.status.is_unset


def test_no_span_stays_current_when_a_run_is_closed_early(dagster_telemetry):
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import execute_run_iterator

    @job(executor_def=in_process_executor)
    def short():
        pass

    instance = DagsterInstance.ephemeral()
    events = execute_run_iterator(InMemoryJob(short), instance.create_run_for_job(short), instance)
    next(events)
    assert not trace.get_current_span().get_span_context().is_valid
    events.close()

    assert len(dagster_telemetry.named("flowstone.run")) == 1
    assert not trace.get_current_span().get_span_context().is_valid
