from importlib.metadata import version

import pytest
from opentelemetry.instrumentation.flowstone import (
    FlowstoneInstrumentor,
    asset_check,
    error,
    gates,
    io_load,
    io_store,
    item_reader,
    materialization,
    materialization_retry,
    parallel,
    resource_health,
    route,
    run,
    run_canceled,
    run_queued,
    scatter,
    schedule_tick,
    sensor_poll,
    sensor_trigger,
)
from opentelemetry.trace import StatusCode

from assay.telemetry import bridge


def test_a_run_is_one_trace(telemetry):
    with run("r-1", "nightly"), materialization("orders", partition="north", run_id="r-1") as made:
        with io_load("raw", "files") as loaded:
            loaded.measurements["size_bytes"] = 10
        with io_store("orders", "files", partition="north") as stored:
            stored.measurements["size_bytes"] = 20
        made.measurements["result_size"] = 20

    spans = {span.name: span for span in telemetry.spans()}
    assert len({span.context.trace_id for span in spans.values()}) == 1
    parent = spans["flowstone.materialization"]
    (outer,) = telemetry.named("flowstone.run")
    assert parent.parent.span_id == outer.context.span_id
    assert spans["flowstone.io.load"].parent.span_id == parent.context.span_id
    assert parent.attributes["flowstone.asset"] == "orders"
    assert parent.attributes["flowstone.partition"] == "north"
    assert {span.attributes["assay.correlation_id"] for span in spans.values()} == {"r-1"}
    assert telemetry.counts("flowstone.materialization.stop.count") == {"orders": 1}
    assert telemetry.counts("flowstone.io.store.size_bytes") == {"orders": 20}


def test_a_failed_materialization_is_an_error_and_raises(telemetry):
    with pytest.raises(ValueError, match="no"), materialization("orders"):
        raise ValueError("no")

    (span,) = telemetry.named("flowstone.materialization")
    assert span.status.status_code is StatusCode.ERROR
    assert telemetry.counts("flowstone.materialization.exception.count", "error_type") == {"ValueError": 1}


def test_it_decorates(telemetry):
    @materialization("orders")
    def make():
        return 3

    assert make() == 3
    assert len(telemetry.named("flowstone.materialization")) == 1


@pytest.mark.parametrize(
    ("emit", "event", "expected"),
    [
        (lambda: sensor_poll("s"), "flowstone.sensor.poll", {"sensor": "s"}),
        (lambda: sensor_trigger("s", "r"), "flowstone.sensor.trigger", {"sensor": "s", "run_id": "r"}),
        (lambda: schedule_tick("d"), "flowstone.schedule.tick", {"schedule": "d"}),
        (lambda: run_queued("r", "j"), "flowstone.run.queued", {"run_id": "r", "job": "j"}),
        (lambda: run_canceled("r", "j", actor="a"), "flowstone.run.canceled", {"run_id": "r", "actor": "a"}),
        (lambda: asset_check("a", "c", passed=False), "flowstone.asset_check.evaluated", {"passed": False}),
        (
            lambda: materialization_retry("a", attempt=2, error_type="E"),
            "flowstone.materialization.retry",
            {"asset": "a", "attempt": 2, "error_type": "E"},
        ),
        (lambda: gates.signal_gate("create", run_id="r"), "flowstone.signal_gate.create", {"run_id": "r"}),
        (lambda: gates.rate_limit("wait"), "flowstone.rate_limit.wait", {}),
    ],
)
def test_each_function_emits_its_event(telemetry, emit, event, expected):
    emit()

    (metadata,) = telemetry.events(event)
    assert expected.items() <= metadata.items()


def test_an_error_is_counted_by_what_it_concerns(telemetry):
    error("TimeoutError", "too slow", asset="orders", retryable=True)

    (point,) = telemetry.points("flowstone.error.count")
    assert dict(point.attributes) == {"asset": "orders", "error_type": "TimeoutError", "retryable": "true"}


def test_the_last_health_of_a_resource_counts(telemetry):
    resource_health("warehouse", healthy=True)
    resource_health("warehouse", healthy=False)

    (point,) = telemetry.points("flowstone.resource.healthy")
    assert (dict(point.attributes), point.value) == ({"resource": "warehouse"}, 0)


@pytest.mark.parametrize(
    ("flow", "phases"),
    [
        (route, ["start", "stop"]),
        (parallel, ["start", "stop"]),
        (scatter, ["start", "complete"]),
        (item_reader, ["init", "complete"]),
    ],
)
def test_flows_are_spans_with_phases_of_their_own(telemetry, flow, phases):
    name = f"flowstone.{flow.__name__}"
    with flow("orders", run_id="r") as started:
        started.emit("step", number=1)

    assert [event.removeprefix(f"{name}.") for event in telemetry.emitted.names] == [
        phases[0],
        "step",
        phases[1],
    ]
    (step,) = telemetry.events(f"{name}.step")
    assert (step["asset"], step["number"], step["correlation_id"]) == ("orders", 1, "r")
    assert len(telemetry.named(name)) == 1


def test_a_flow_that_fails_ends_with_an_error(telemetry):
    with pytest.raises(KeyError), scatter("orders"):
        raise KeyError("k")

    (span,) = telemetry.named("flowstone.scatter")
    assert span.status.status_code is StatusCode.ERROR
    assert telemetry.emitted.names[-1] == "flowstone.scatter.failed"


def test_uninstrument_detaches_its_bridge():
    FlowstoneInstrumentor().instrument()
    (attached,) = bridge.attached()
    FlowstoneInstrumentor().uninstrument()

    assert attached not in bridge.attached()


def test_the_scope_is_this_package(telemetry):
    with run("r-1", "nightly"):
        pass

    (span,) = telemetry.spans()
    scope = span.instrumentation_scope
    assert scope.name == "opentelemetry.instrumentation.flowstone"
    assert scope.version == version("opentelemetry-instrumentation-flowstone")
    assert scope.schema_url.startswith("https://assay.dev/schemas/")
