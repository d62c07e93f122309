"""Traces, series and logs pass the whole Collector to the real exporter host and the Prometheus endpoint."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import Addresses, CollectorProcess
from assay.cli._free_ports import free_address

pytestmark = pytest.mark.slow

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


RESOURCE = [
    attribute("service.name", "shop"),
    attribute("service.instance.id", "shop-1"),
    attribute("x", "y"),
]


def series() -> bytes:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend(RESOURCE)
    scope = resource.scope_metrics.add()
    scope.scope.name, scope.scope.version = "assay.flowstone", "1"
    at = {"time_unix_nano": time.time_ns(), "start_time_unix_nano": time.time_ns() - 10**9}
    count = scope.metrics.add(name="flowstone.io.load.count", unit="{load}", description="Loads")
    count.sum.is_monotonic, count.sum.aggregation_temporality = True, CUMULATIVE
    labels = [attribute("asset", "a"), attribute("io_manager", "m")]
    count.sum.data_points.add(as_int=3, attributes=labels, **at)
    size = scope.metrics.add(name="flowstone.io.load.size_bytes", unit="", description="Bytes")
    size.sum.is_monotonic, size.sum.aggregation_temporality = True, CUMULATIVE
    size.sum.data_points.add(as_int=512, attributes=labels, **at)
    duration = scope.metrics.add(name="flowstone.materialization.duration", unit="ms", description="Time")
    duration.histogram.aggregation_temporality = CUMULATIVE
    point = duration.histogram.data_points.add(
        count=2, sum=30, bucket_counts=[1, 1, 0], explicit_bounds=[10, 100], attributes=labels[:1], **at
    )
    point.exemplars.add(as_double=20, time_unix_nano=time.time_ns(), trace_id=b"\1" * 16, span_id=b"\2" * 8)
    healthy = scope.metrics.add(name="flowstone.resource.healthy", unit="", description="1 if healthy")
    healthy.gauge.data_points.add(as_int=1, attributes=[attribute("resource", "db")], **at)
    return request.SerializeToString()


def spans(*, trace: int, error: bool = False, **attributes: str) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(RESOURCE)
    span = resource.scope_spans.add().spans.add(
        trace_id=trace.to_bytes(16, "big"),
        span_id=trace.to_bytes(8, "big"),
        name="flowstone.run",
        kind=1,
        start_time_unix_nano=time.time_ns() - 10**8,
        end_time_unix_nano=time.time_ns(),
        attributes=[attribute(key, value) for key, value in attributes.items()],
    )
    span.status.code = Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET
    return request.SerializeToString()


def logs(event_name: str) -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(event_name=event_name)
    return request.SerializeToString()


def arrived(batches: list[dict]) -> list[dict]:
    return [
        span
        for batch in batches
        for resource in batch["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def shown(page: str) -> set[str]:
    """Return the series on a page without the buckets of histograms and without values."""
    return {
        re.sub(r" [0-9.e+]+$", "", line)
        for line in page.splitlines()
        if line.startswith("flowstone_") and 'le="' not in line
    }


def test_series_have_exactly_their_names_and_labels(make_collector, host, metrics_address, tools):
    endpoint, _ = host
    url = f"http://{metrics_address}/metrics"
    with make_collector("all-in-one", ASSAY_HOST_GRPC_ENDPOINT=endpoint) as collector:
        assert tools.post(f"http://{collector.addresses.otlp_http}/v1/metrics", series())[0] == 200
        text = tools.eventually(lambda: (got := tools.get(url)).count("flowstone_") and got)
    assert shown(text) == {
        'flowstone_io_load_count_total{asset="a",io_manager="m",job="shop"}',
        'flowstone_io_load_size_bytes_total{asset="a",io_manager="m",job="shop"}',
        'flowstone_materialization_duration_milliseconds_count{asset="a",job="shop"}',
        'flowstone_materialization_duration_milliseconds_sum{asset="a",job="shop"}',
        'flowstone_resource_healthy{job="shop",resource="db"}',
    }
    assert 'flowstone_materialization_duration_milliseconds_bucket{asset="a",' in text


def test_the_collectors_own_page_has_the_same_series_for_each_process(
    make_collector, host, metrics_address, tools
):
    endpoint, _ = host
    with contextlib.ExitStack() as reserved:
        own = free_address(reserved)
    environment = {"ASSAY_HOST_GRPC_ENDPOINT": endpoint, "ASSAY_COLLECTOR_PROMETHEUS_ADDRESS": own}
    pages = [f"http://{address}/metrics" for address in (own, metrics_address)]
    with make_collector("gateway-per-process", **environment) as collector:
        assert tools.post(f"http://{collector.addresses.otlp_http}/v1/metrics", series())[0] == 200
        tools.eventually(lambda: all("flowstone_" in tools.get(page) for page in pages))
        processes, sums = (shown(tools.get(page)) for page in pages)
    assert len(processes) == 5
    assert {line.replace('instance="shop-1",', "") for line in processes} == sums


def test_exemplars_reach_a_scraper_that_asks_for_open_metrics(make_collector, host, metrics_address, tools):
    endpoint, _ = host
    url = f"http://{metrics_address}/metrics"
    with make_collector("all-in-one", ASSAY_HOST_GRPC_ENDPOINT=endpoint) as collector:
        tools.post(f"http://{collector.addresses.otlp_http}/v1/metrics", series())
        accept = "application/openmetrics-text; version=1.0.0"
        text = tools.eventually(lambda: (got := tools.get(url, accept)).count("flowstone_") and got)
    assert f'trace_id="{"01" * 16}"' in text


def test_each_route_receives_its_own_signals(make_collector, host, tools):
    endpoint, files = host
    with make_collector("all-in-one", ASSAY_HOST_GRPC_ENDPOINT=endpoint) as collector:
        url = f"http://{collector.addresses.otlp_http}/v1"
        assert tools.post(f"{url}/traces", spans(trace=1))[0] == 200
        assert tools.post(f"{url}/logs", logs("flowstone.run.start"))[0] == 200
        tools.eventually(lambda: len(tools.lines(files["cdevents"])) == 2)
        tools.eventually(lambda: tools.lines(files["traces"]) and tools.lines(files["logs"]))
    assert [set(batch) for batch in tools.lines(files["traces"])] == [{"resourceSpans"}]
    assert [set(batch) for batch in tools.lines(files["logs"])] == [{"resourceLogs"}]
    assert {key for batch in tools.lines(files["cdevents"]) for key in batch} == {
        "resourceSpans",
        "resourceLogs",
    }


def test_sampling_keeps_errors_and_does_not_affect_series_and_cdevents(
    make_collector, host, metrics_address, tools
):
    endpoint, files = host
    environment = {"ASSAY_HOST_GRPC_ENDPOINT": endpoint, "ASSAY_COLLECTOR_TRACES_PERCENT": "0"}
    with make_collector("gateway", **environment) as collector:
        url = f"http://{collector.addresses.otlp_http}/v1/traces"
        for trace in range(1, 6):
            assert tools.post(url, spans(trace=trace))[0] == 200
        assert tools.post(url, spans(trace=6, error=True))[0] == 200
        tools.eventually(lambda: arrived(tools.lines(files["traces"])))
        tools.eventually(lambda: len(arrived(tools.lines(files["cdevents"]))) == 6)
        calls = re.compile(r"^traces_span_metrics_calls_total.* (\S+)$", re.MULTILINE)
        page = f"http://{metrics_address}/metrics"
        tools.eventually(lambda: sum(map(float, calls.findall(tools.get(page)))) == 6)
    assert len(arrived(tools.lines(files["traces"]))) == 1  # the Collector has stopped and sends no more


def test_secrets_are_masked(make_collector, host, tools):
    endpoint, files = host
    secrets = {
        "password": "hunter2",
        "db.url": "postgresql://joe:hunter2@db/shop",
        "http.header": "Bearer abcdefgh12345678ijkl",
        "note": "token ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    }
    with make_collector("gateway", ASSAY_HOST_GRPC_ENDPOINT=endpoint) as collector:
        url = f"http://{collector.addresses.otlp_http}/v1/traces"
        tools.post(url, spans(trace=1, kept="plain words", **secrets))
        for route in ("traces", "cdevents"):
            tools.eventually(lambda route=route: tools.lines(files[route]))
    for route in ("traces", "cdevents"):
        text = files[route].read_text()
        assert "plain words" in text
        for shape in ("hunter2", "abcdefgh12345678ijkl", "abcdefghijklmnop"):
            assert shape not in text, route


def test_accepted_logs_survive_a_kill(make_collector, host, tools):
    endpoint, files = host
    collector = make_collector("gateway")
    collector.start()
    url = f"http://{collector.addresses.otlp_http}/v1/logs"
    assert {tools.post(url, logs(f"event.{number}"))[0] for number in range(20)} == {200}
    collector.kill()
    with make_collector("gateway", ASSAY_HOST_GRPC_ENDPOINT=endpoint):
        wanted = {f"event.{number}" for number in range(20)}
        tools.eventually(
            lambda: wanted <= set(re.findall(r'"eventName": ?"(event\.\d+)"', files["cdevents"].read_text()))
        )


def test_agent_sends_to_the_gateway_and_adds_the_host_name(
    make_collector, collector_binary, host, tmp_path, tools
):
    endpoint, files = host
    with make_collector("gateway", ASSAY_HOST_GRPC_ENDPOINT=endpoint) as gateway:
        agent = CollectorProcess(
            collector_binary.path,
            COMPOSITIONS["agent"].paths,
            addresses=Addresses.free(),
            storage=tmp_path / "agent",
            log=tmp_path / "agent.log",
            environment={
                "ASSAY_COLLECTOR_GATEWAY_ENDPOINT": gateway.addresses.otlp_grpc,
                "ASSAY_COLLECTOR_GATEWAY_INSECURE": "true",
            },
        )
        with agent:
            assert tools.post(f"http://{agent.addresses.otlp_http}/v1/logs", logs("event.1"))[0] == 200
            tools.eventually(lambda: "event.1" in files["logs"].read_text())
    assert "host.name" in files["logs"].read_text()


def test_own_telemetry_reports_accepted_records_and_the_queue(make_collector, tools):
    with make_collector("all-in-one") as collector:
        tools.post(f"http://{collector.addresses.otlp_http}/v1/logs", logs("event.1"))
        text = tools.eventually(
            lambda: (
                "otelcol_exporter_queue_size" in (got := tools.get(collector.addresses.telemetry_url)) and got
            )
        )
    assert "otelcol_receiver_accepted_log_records" in text
    assert "otelcol_exporter_queue_capacity" in text
