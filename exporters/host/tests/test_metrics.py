"""The host's own metrics."""

import importlib

import pytest
import requests
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from assay.host import _metrics
from assay.host._refusal import CODES

from .conftest import LogsOnly, exporter, http, logs

PROTOBUF = {"content-type": "application/x-protobuf"}
CONFIG = {
    "listeners": [http(), http("collector", peer="collector")],
    "exporters": {"all": exporter("all", LogsOnly)},
}


@pytest.fixture
def reader(monkeypatch):
    """Create the instruments again on a provider of this test: the global one can be set only once."""
    reading = InMemoryMetricReader()
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "get_meter", MeterProvider([reading]).get_meter)
        importlib.reload(_metrics)
    yield reading
    importlib.reload(_metrics)


def points(reader, name):
    data = reader.get_metrics_data()
    return {
        tuple(point.attributes.values()): point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name == name
    }


def test_every_counter_starts_at_zero(reader, serve):
    serve(**CONFIG)
    assert points(reader, "assay.host.batches") == {
        ("all", "logs", outcome): 0 for outcome in ("accepted", "retry", "rejected", "failed")
    }
    assert points(reader, "assay.host.items") == {("all", "logs"): 0}
    assert points(reader, "assay.host.refused") == {
        (listener, status): 0 for listener in ("http", "collector") for status in CODES
    }
    assert points(reader, "assay.host.undecodable") == {
        ("collector", "logs", kept): 0 for kept in ("true", "false")
    }


def test_batches_items_and_refusals_are_counted(reader, serve):
    host = serve(**CONFIG)
    for listener, body in (("http", logs(3).SerializeToString()), ("http", b"\xff"), ("collector", b"\xff")):
        requests.post(host.url("/v1/logs", listener), data=body, headers=PROTOBUF, timeout=30)
    assert points(reader, "assay.host.batches")["all", "logs", "accepted"] == 1
    assert points(reader, "assay.host.items") == {("all", "logs"): 3}
    assert points(reader, "assay.host.refused")["http", 400] == 1
    assert points(reader, "assay.host.undecodable")["collector", "logs", "false"] == 1
    assert points(reader, "assay.host.queue.depth") == {("all",): 0}
