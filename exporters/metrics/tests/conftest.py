"""Requests as SDKs send them, and a real exporter with its `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, ScopeMetrics
from prometheus_client.parser import text_string_to_metric_families

from assay.exporters.metrics import MetricsExporter, Settings
from assay.host import Batch

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
SECOND = 10**9
BOUNDS = (10.0, 100.0)
SCRAPER = {"x-prometheus-scrape-timeout-seconds": "10"}


def attributes(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


class Sender:
    """Builds the requests of one process.

    Args:
        instance: Its instance id.
        start: When it started, in Unix seconds; by default now.
        temporality: Of its sums and histograms.
    """

    def __init__(self, instance: str, *, start: float | None = None, temporality: int = CUMULATIVE) -> None:
        self.resource = {"service.name": "shop", "service.instance.id": instance}
        self.start = time.time() if start is None else start
        self.temporality = temporality

    def request(self, *fill: Callable[[ScopeMetrics], None], scope: str = "assay") -> Batch:
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(attributes(self.resource))
        scoped = resource.scope_metrics.add()
        scoped.scope.name = scope
        for one in fill:
            one(scoped)
        return batch(request)

    def _times(self, age: float) -> dict[str, int]:
        start = round(self.start * SECOND)
        return {"start_time_unix_nano": start, "time_unix_nano": start + round(age * SECOND)}

    def counter(self, value: float, *, age: float = 1, name: str = "shop.orders", **labels: str) -> Batch:
        def fill(scope: ScopeMetrics) -> None:
            metric = scope.metrics.add(name=name, unit="{order}", description="Orders")
            metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, self.temporality
            metric.sum.data_points.add(as_int=value, attributes=attributes(labels), **self._times(age))

        return self.request(fill)

    def histogram(
        self, buckets: list[int], total: float, *, age: float = 1, bounds: tuple[float, ...] = BOUNDS
    ) -> Batch:
        def fill(scope: ScopeMetrics) -> None:
            metric = scope.metrics.add(name="shop.delay", unit="ms", description="Delay")
            metric.histogram.aggregation_temporality = self.temporality
            point = metric.histogram.data_points.add(
                count=sum(buckets),
                sum=total,
                bucket_counts=buckets,
                explicit_bounds=bounds,
                **self._times(age),
            )
            point.exemplars.add(as_double=50, time_unix_nano=1, trace_id=b"\1" * 16, span_id=b"\2" * 8)

        return self.request(fill)

    def gauge(self, value: float, *, age: float = 0, name: str = "shop.open") -> Batch:
        def fill(scope: ScopeMetrics) -> None:
            metric = scope.metrics.add(name=name, unit="", description="1 if open")
            metric.gauge.data_points.add(as_double=value, **self._times(age))

        return self.request(fill)

    def active(self, value: int) -> Batch:
        def fill(scope: ScopeMetrics) -> None:
            metric = scope.metrics.add(name="shop.active", unit="{order}")
            metric.sum.aggregation_temporality = CUMULATIVE
            metric.sum.data_points.add(as_int=value, **self._times(0))

        return self.request(fill)


def batch(request: ExportMetricsServiceRequest) -> Batch:
    return Batch("metrics", request, request.SerializeToString(), "protobuf", "collector", time.time_ns())


class Page:
    """The samples on a `/metrics` page, by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __getitem__(self, name: str) -> float:
        (value,) = [value for (found, *_), value in self.samples.items() if found == name]
        return value

    def __contains__(self, name: str) -> bool:
        return any(found == name for found, *_ in self.samples)


class Exporter:
    """A running exporter and its page."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self._exporter = exporter

    def send(self, *batches: Batch) -> None:
        for one in batches:
            self._exporter.export(one)

    def get(self, **headers: str) -> requests.Response:
        host, port = self._exporter.address
        return requests.get(f"http://{host}:{port}/metrics", headers=headers, timeout=30)

    def page(self) -> Page:
        """Return the page as a person sees it."""
        return Page(self.get().text)

    def scrape(self) -> Page:
        """Return the page as Prometheus gets it."""
        return Page(self.get(**SCRAPER).text)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a context manager that runs an exporter on one database."""

    @contextmanager
    def run(**settings: Any) -> Iterator[Exporter]:
        settings = {"database": tmp_path / "metrics.db", "address": "127.0.0.1:0", **settings}
        exporter = MetricsExporter(Settings(**settings))
        with ExitStack() as stack:
            stack.callback(exporter.shutdown)
            yield Exporter(exporter)

    return run


@pytest.fixture
def exporter(running) -> Iterator[Exporter]:
    with running() as made:
        yield made
