"""The gateway redacts every shape in every place that it searches, and leaves what the registry leaves."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from assay.semconv._redaction import Example, rules
from assay.semconv.generate import REGISTRY
from assay.semconv.registry import definitions

RULES = rules(definitions(REGISTRY / "redaction.yaml"))
EXAMPLES = [(shape, example) for shape in RULES.default for example in shape.match]
WHOLE = [(shape, example) for shape, example in EXAMPLES if shape.is_whole]
KEPT = [text for shape in RULES.shapes for text in shape.leave]


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def pair(key: str, value: str | AnyValue) -> KeyValue:
    return KeyValue(key=key, value=value if isinstance(value, AnyValue) else text(value))


def attributes(example: Example, *, is_whole: bool) -> list[KeyValue]:
    secret = example.text
    nested = AnyValue(
        kvlist_value=KeyValueList(values=[pair("a", AnyValue(array_value=ArrayValue(values=[text(secret)])))])
    )
    found = [
        pair("value", secret),
        pair("list", AnyValue(array_value=ArrayValue(values=[text("x"), text(secret)]))),
        pair("map", nested),
        pair("db.password", "by-its-key"),
    ]
    return [*found, pair(secret, "key")] if is_whole else found


def fill_scope(scope: InstrumentationScope, example: Example, every: list[KeyValue]) -> None:
    scope.name = scope.version = example.text
    scope.attributes.extend(every)


def traces() -> bytes:
    request = ExportTraceServiceRequest()
    for number, (shape, example) in enumerate(EXAMPLES, 1):
        every = attributes(example, is_whole=shape.is_whole)
        resource = request.resource_spans.add(schema_url=example.text)
        resource.resource.attributes.extend(every)
        scope = resource.scope_spans.add(schema_url=example.text)
        fill_scope(scope.scope, example, every)
        span = scope.spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name=example.text,
            trace_state=f"k={example.text}",
            kind=1,
            start_time_unix_nano=time.time_ns() - 10**6,
            end_time_unix_nano=time.time_ns(),
            attributes=every,
        )
        span.status.code, span.status.message = Status.STATUS_CODE_ERROR, example.text
        span.events.add(name=example.text, attributes=every)
    kept = request.resource_spans.add().scope_spans.add()
    for number, value in enumerate(KEPT, 1):
        kept.spans.add(
            trace_id=b"\x99" * 16,
            span_id=number.to_bytes(8, "big"),
            name=value,
            attributes=[pair("value", value)],
        )
    return request.SerializeToString()


def logs() -> bytes:
    request = ExportLogsServiceRequest()
    for shape, example in EXAMPLES:
        every = attributes(example, is_whole=shape.is_whole)
        resource = request.resource_logs.add(schema_url=example.text)
        resource.resource.attributes.extend(every)
        scope = resource.scope_logs.add(schema_url=example.text)
        fill_scope(scope.scope, example, every)
        for body in (text(example.text), *(attribute.value for attribute in every[1:3])):
            scope.log_records.add(
                event_name=example.text, severity_text=example.text, body=body, attributes=every
            )
    return request.SerializeToString()


def metrics() -> bytes:
    request = ExportMetricsServiceRequest()
    at = {"time_unix_nano": time.time_ns(), "start_time_unix_nano": time.time_ns() - 10**9}
    for number, (_, example) in enumerate(EXAMPLES):
        resource = request.resource_metrics.add()
        resource.resource.attributes.append(pair("service.name", f"s{number}"))
        resource.resource.attributes.append(pair("service.instance.id", example.text))
        metric = resource.scope_metrics.add().metrics.add(name="shop.orders", description=example.text)
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.data_points.add(
            as_int=3, attributes=[pair("label", example.text), pair("token", "by-its-key")], **at
        )
    return request.SerializeToString()


POINTS = ("sum", "gauge", "histogram", "exponential_histogram", "summary")


def metrics_everywhere() -> bytes:
    request = ExportMetricsServiceRequest()
    at = {"time_unix_nano": time.time_ns(), "start_time_unix_nano": time.time_ns() - 10**9}
    for shape, example in EXAMPLES:
        every = attributes(example, is_whole=shape.is_whole)
        resource = request.resource_metrics.add(schema_url=example.text)
        resource.resource.attributes.extend(every)
        scope = resource.scope_metrics.add(schema_url=example.text)
        fill_scope(scope.scope, example, every)
        for kind in POINTS:
            metric = scope.metrics.add(name=example.text, description=example.text, unit=example.text)
            getattr(metric, kind).data_points.add(attributes=every, **at)
    return request.SerializeToString()


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string in a JSON value, keys included, with its place."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from strings(member, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, path)
    elif isinstance(value, str):
        yield path, value


def places(batches: list[dict]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, value in strings(batches):
        found.setdefault(place, []).append(value)
    return found


def leaked(batches: list[dict]) -> list[tuple[str, str]]:
    return sorted(
        {
            (shape.id, place)
            for place, values in places(batches).items()
            for shape, example in EXAMPLES
            if any(example.secret in value for value in values if value not in KEPT)
        }
    )


@pytest.mark.slow
def test_no_secret_passes_the_gateway(make_collector, host, metrics_address, tools):
    endpoint, files = host
    page = f"http://{metrics_address}/metrics"
    with make_collector("gateway", ASSAY_HOST_GRPC_ENDPOINT=endpoint) as collector:
        url = f"http://{collector.addresses.otlp_http}/v1"
        for signal, body in (("traces", traces()), ("logs", logs()), ("metrics", metrics())):
            assert tools.post(f"{url}/{signal}", body)[0] == 200
        wanted = len(EXAMPLES)
        tools.eventually(lambda: files["logs"].read_text().count('"resource":') >= wanted)
        tools.eventually(lambda: files["traces"].read_text().count('"resource":') >= wanted)
        tools.eventually(lambda: 'label="' in tools.get(page))
        series = tools.get(page)
    sent = [
        json.loads(line)
        for name in ("logs", "traces", "cdevents")
        for line in files[name].read_text().splitlines()
    ]
    assert leaked(sent) == []
    assert {value for _, value in strings(sent)} & {"by-its-key"} == set()
    assert {shape.id for shape, example in EXAMPLES if example.secret in series} == set()
    assert "by-its-key" not in series
    # What the registry leaves arrives as it was, in a name and in a value.
    names = re.findall(r"REDACTED|\*\*\*\*", "".join(places(sent)[".resourceSpans.scopeSpans.spans.name"]))
    assert len(names) >= len(EXAMPLES)
    for place in (
        ".resourceSpans.scopeSpans.spans.name",
        ".resourceSpans.scopeSpans.spans.attributes.value.stringValue",
    ):
        assert set(KEPT) <= set(places(sent)[place])


@pytest.mark.slow
def test_no_secret_passes_the_metrics_pipeline(make_collector, host, tools, tmp_path):
    endpoint, files = host
    to_lines = tmp_path / "lines.yaml"
    to_lines.write_text("exporters: {otlp_grpc/metrics: {headers: {assay-exporter: logs}}}")
    with make_collector("gateway", configs=(to_lines,), ASSAY_HOST_GRPC_ENDPOINT=endpoint) as collector:
        url = f"http://{collector.addresses.otlp_http}/v1/metrics"
        assert tools.post(url, metrics_everywhere())[0] == 200
        tools.eventually(lambda: files["logs"].read_text().count('"resource":') >= len(EXAMPLES))
    sent = [json.loads(line) for line in files["logs"].read_text().splitlines()]
    assert leaked(sent) == []
    assert "by-its-key" not in {value for _, value in strings(sent)}
    names = places(sent)[".resourceMetrics.scopeMetrics.metrics.name"]
    assert len(names) == len(POINTS) * len(EXAMPLES)
    for kind in ("sum", "gauge", "histogram", "exponentialHistogram", "summary"):
        place = f".resourceMetrics.scopeMetrics.metrics.{kind}.dataPoints.attributes.value.stringValue"
        assert len(places(sent)[place]) >= len(EXAMPLES)


@pytest.mark.parametrize("key", RULES.keys.match)
def test_the_gateway_knows_the_keys_of_the_application(key):
    assert any(re.search(expression, key) for expression in RULES.keys.expressions())


@pytest.mark.parametrize("key", RULES.keys.leave)
def test_the_gateway_leaves_the_keys_that_the_application_leaves(key):
    assert not any(re.search(expression, key) for expression in RULES.keys.expressions())
