"""Each event, span and series of the registry, as the typed API makes an SDK export it."""

from importlib.metadata import version

import pytest
from opentelemetry.instrumentation.snakepit import (
    cpu_sampled,
    error_occurred,
    gc_completed,
    grpc_call,
    heartbeat,
    memory_sampled,
    pool_queue,
    pool_started,
    pool_status,
    pool_worker,
    python_call,
    request,
    request_completed,
    session,
    session_affinity,
    tool_execution,
    tool_result_size,
    worker_changed,
    worker_crashed,
)

from assay.semconv import CATALOGUE

SNAKEPIT = CATALOGUE.of("snakepit")


def use_the_whole_api():
    with request("r-1", "predict", pool_name="default") as handled:
        handled.measurements["queue_time"] = 2_000_000
        with python_call("predict", worker_id="default-1"), tool_execution("embed"):
            tool_result_size("embed", 10)
        with grpc_call(
            "snakepit.BridgeService/ExecuteTool", server_address="127.0.0.1", server_port=5
        ) as call:
            call.metadata["rpc_response_status_code"] = "OK"
    request_completed("r-2", "predict", pool_name="default", success=True, duration_ms=4, queue_time_ms=1)
    for phase in ("init_started", "init_complete", "initialized"):
        pool_started("default", phase)
    pool_status("default", available_workers=3, busy_workers=1, queue_size=0)
    for action in ("enqueued", "dequeued", "timeout"):
        pool_queue(action, "default", request_id="r-1", queue_size=1)
    for action in ("spawn_started", "spawned", "ready", "spawn_failed", "terminated", "restarted"):
        pool_worker(action, "default", "default-1", reason="test")
    worker_crashed("default", "default-1", reason="SIGKILL")
    for action in ("recycled", "tainted", "restarted"):
        worker_changed(action, "default", "default-1", reason="max_tasks")
    for action in ("created", "destroyed"):
        session(action, "s-1")
    for action in ("assigned", "broken"):
        session_affinity(action, "s-1", worker_id="default-1")
    for action in ("monitor_started", "monitor_stopped", "monitor_failure", "ping_sent", "heartbeat_timeout"):
        heartbeat(action, "default-1")
    heartbeat("pong_received", "default-1", latency=800_000)
    memory_sampled("default-1", 1)
    cpu_sampled("default-1", 1.5)
    gc_completed("default-1", 3)
    error_occurred("default-1", error_type="ValueError", error_message="no")


@pytest.fixture
def used(telemetry):
    """Return the telemetry of one call of each function."""
    use_the_whole_api()
    return telemetry


@pytest.mark.parametrize("name", SNAKEPIT.spans)
def test_each_span_of_the_registry_is_exported(used, name):
    assert used.spans(name)


@pytest.mark.parametrize("name", SNAKEPIT.events)
def test_each_event_of_the_registry_is_exported(used, name):
    (record,) = used.logs(name)
    known = {each.key for each in SNAKEPIT.events[name].attributes}
    assert known & record.log_record.attributes.keys()


@pytest.mark.parametrize("name", SNAKEPIT.metrics)
def test_each_metric_of_the_registry_has_points(used, name):
    assert used.points(name)


def test_a_request_beside_its_span_is_counted_once(telemetry):
    with request("r-1", "predict", pool_name="default"):
        pass
    request_completed("r-1", "predict", pool_name="default", success=True, duration_ms=4, in_span=True)
    request_completed("r-2", "predict", pool_name="default", success=False, duration_ms=4, queue_time_ms=1)

    assert telemetry.totals("snakepit.requests", "status") == {"success": 1, "error": 1}
    assert telemetry.totals("snakepit.request.duration", "command") == {"predict": 2}
    assert telemetry.totals("snakepit.request.queue_time", "pool_name") == {"default": 1}


def test_a_grpc_call_has_the_attributes_and_labels_of_opentelemetrys_conventions(used):
    expected = {
        "rpc.system.name": "grpc",
        "rpc.method": "snakepit.BridgeService/ExecuteTool",
        "rpc.response.status_code": "OK",
        "server.address": "127.0.0.1",
        "server.port": 5,
    }
    (span,) = used.spans("snakepit.grpc.call")
    assert expected.items() <= dict(span.attributes).items()
    (point,) = used.points("rpc.client.call.duration")
    assert dict(point.attributes) == expected


def test_the_scope_is_this_package(telemetry):
    with python_call("predict"):
        pass

    (span,) = telemetry.spans()
    scope = span.instrumentation_scope
    assert scope.name == "opentelemetry.instrumentation.snakepit"
    assert scope.version == version("opentelemetry-instrumentation-snakepit")
