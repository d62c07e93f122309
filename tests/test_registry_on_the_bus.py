"""Bus events become the signals that the registry and OpenTelemetry require, through a real SDK."""

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from assay.semconv import CATALOGUE
from assay.telemetry import execute, span
from assay.telemetry.bridge import Bridge

MILLISECOND = 1_000_000
REQUEST = {"request_id": "r-1", "command": "predict", "pool_name": "default"}


class Telemetry:
    """An SDK that exports to memory, and a bridge into it."""

    def __init__(self):
        self._spans, self._logs, self._reader = (
            InMemorySpanExporter(),
            InMemoryLogRecordExporter(),
            InMemoryMetricReader(),
        )
        tracers, meters, loggers = TracerProvider(), MeterProvider([self._reader]), LoggerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.providers = (tracers, meters, loggers)
        self.bridge = Bridge(
            CATALOGUE, tracer_provider=tracers, meter_provider=meters, logger_provider=loggers
        )

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    @property
    def logs(self):
        return [each.log_record for each in self._logs.get_finished_logs()]

    def points(self, name):
        """Return the labels and the value, or the count and sum, of a metric's data points."""
        data = self._reader.get_metrics_data()
        return [
            (dict(point.attributes), getattr(point, "value", None) or (point.count, point.sum))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry():
    found = Telemetry()
    found.bridge.attach()
    yield found
    found.bridge.detach()
    for provider in found.providers:
        provider.shutdown()


def test_a_run_is_a_pipeline_run(telemetry):
    with span("flowstone.run", run_id="r-1", job="nightly"):
        pass
    with pytest.raises(ValueError, match="bad"), span("flowstone.run", run_id="r-2", job="nightly"):
        raise ValueError("bad")
    with span("flowstone.run", run_id="r-3", job="nightly") as canceled:
        canceled.end_as("canceled")
    assert {each.name for each in telemetry.spans} == {"RUN nightly"}
    assert {each.kind for each in telemetry.spans} == {SpanKind.SERVER}
    results = [each.attributes["cicd.pipeline.result"] for each in telemetry.spans]
    assert results == ["success", "failure", "cancellation"]
    for each in telemetry.spans:
        assert each.attributes["assay.span.event"] == "flowstone.run"
        assert each.attributes["cicd.pipeline.name"] == "nightly"
        assert each.attributes["cicd.pipeline.run.id"] == each.attributes["flowstone.run_id"]
    failed = telemetry.spans[1].attributes
    assert (failed["error.type"], failed["assay.error.message"]) == ("ValueError", "bad")
    durations = [labels for labels, _ in telemetry.points("cicd.pipeline.run.duration")]
    common = {"cicd.pipeline.name": "nightly", "cicd.pipeline.run.state": "executing"}
    assert durations == [
        {**common, "cicd.pipeline.result": "success"},
        {**common, "cicd.pipeline.result": "failure", "error.type": "ValueError"},
        {**common, "cicd.pipeline.result": "cancellation"},
    ]
    errors = telemetry.points("cicd.pipeline.run.errors")
    assert errors == [({"cicd.pipeline.name": "nightly", "error.type": "ValueError"}, 1)]


def test_a_call_of_a_worker_is_an_rpc(telemetry):
    method = "snakepit.BridgeService/ExecuteTool"
    with span("snakepit.grpc.call", method=method, server_address="localhost", server_port=50051) as call:
        call.metadata["rpc_response_status_code"] = "OK"
    [found] = telemetry.spans
    assert (found.name, found.kind) == (method, SpanKind.CLIENT)
    wanted = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "rpc.response.status_code": "OK",
        "server.address": "localhost",
        "server.port": 50051,
    }
    assert wanted.items() <= dict(found.attributes).items()
    [(labels, _)] = telemetry.points("rpc.client.call.duration")
    assert labels == wanted


def test_a_query_of_the_storage_is_a_database_call(telemetry):
    with span(
        "anvil.storage.query", operation="insert", db_system_name="postgresql", db_collection_name="labels"
    ):
        pass
    with span("anvil.storage.query", operation="select", db_system_name="postgresql"):
        pass
    assert [each.name for each in telemetry.spans] == ["insert labels", "select"]
    assert {each.kind for each in telemetry.spans} == {SpanKind.CLIENT}
    assert [labels for labels, _ in telemetry.points("db.client.operation.duration")] == [
        {"db.system.name": "postgresql", "db.operation.name": "insert", "db.collection.name": "labels"},
        {"db.system.name": "postgresql", "db.operation.name": "select"},
    ]


def test_an_error_of_a_client_is_logged_and_a_success_is_not(telemetry):
    for result in ("ok", "error"):
        with span("ingot.forge_client.get_sample", sample_id="s-1") as call:
            call.metadata["result"] = result
    [error] = telemetry.logs
    assert (error.body, error.severity_text) == ("ForgeClient error", "WARN")
    assert error.attributes["ingot.operation"] == "get_sample"
    assert error.attributes["ingot.sample_id"] == "s-1"
    assert "ingot.duration_ms" in error.attributes


def test_a_completed_request_feeds_the_metrics(telemetry):
    measurements = {"duration_ms": 150, "queue_time_ms": 25}
    execute("snakepit.request.completed", measurements, {**REQUEST, "success": True})
    execute("snakepit.request.completed", measurements, {**REQUEST, "success": False})
    labels = {"pool_name": "default", "command": "predict"}
    assert telemetry.points("snakepit.requests") == [
        ({**labels, "status": "success"}, 1),
        ({**labels, "status": "error"}, 1),
    ]
    assert telemetry.points("snakepit.request.duration") == [(labels, (2, pytest.approx(0.3)))]
    assert telemetry.points("snakepit.request.queue_time") == [
        ({"pool_name": "default"}, (2, pytest.approx(0.05)))
    ]
    assert [each.attributes["snakepit.duration_ms"] for each in telemetry.logs] == [150, 150]


def test_a_request_with_a_span_is_counted_once(telemetry):
    with span("snakepit.request", **REQUEST) as request:
        request.measurements["queue_time"] = 25 * MILLISECOND
        request.emit("completed", success=True, duration_ms=150, queue_time_ms=25, in_span=True)
    for name in ("snakepit.request.duration", "snakepit.request.queue_time"):
        [(_, (count, _))] = telemetry.points(name)
        assert count == 1
    assert [value for _, value in telemetry.points("snakepit.requests")] == [1]
    assert [each.event_name for each in telemetry.logs] == ["snakepit.request.completed"]


def test_a_failed_materialization_is_counted_by_status(telemetry):
    with pytest.raises(OSError, match="disk"), span("flowstone.io.store", asset="a", io_manager="m"):
        raise OSError("disk")
    with (
        pytest.raises(OSError, match="disk"),
        span("flowstone.materialization", asset="a", run_id="r"),
    ):
        raise OSError("disk")
    [(labels, value)] = telemetry.points("flowstone.materialization.stop.count")
    assert (labels, value) == ({"asset": "a", "status": "failure"}, 1)
    [(labels, value)] = telemetry.points("flowstone.io.store.count")
    assert (labels, value) == ({"asset": "a", "io_manager": "m"}, 1)
