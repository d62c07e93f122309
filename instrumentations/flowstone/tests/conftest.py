"""A process's OpenTelemetry in memory, with the bridge and Dagster instrumented."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assay.telemetry import attach, detach

Told = tuple[str, dict[str, Any], dict[str, Any]]


@dataclass
class Telemetry:
    """What was told on the bus, and what came out of the SDK."""

    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    logs: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    told: list[Told] = field(default_factory=list)

    def named(self, name):
        """Return the finished spans of that name."""
        return [span for span in self.spans.get_finished_spans() if span.name == name]

    def events(self, name):
        """Return the metadata of the bus events of that name."""
        return [metadata for event, _, metadata in self.told if event == name]

    def measured(self, name):
        """Return the measurements of the bus events of that name."""
        return [measurements for event, measurements, _ in self.told if event == name]

    def points(self, metric):
        """Return the data points of an instrument."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def counts(self, metric, label="asset"):
        """Return an instrument's values, or a histogram's counts, by label."""
        totals = Counter()
        for point in self.points(metric):
            totals[point.attributes.get(label)] += getattr(point, "value", None) or getattr(point, "count", 0)
        return totals


@pytest.fixture
def telemetry():
    """Return the telemetry of everything told while the test runs."""
    found = Telemetry()
    attach("test", "flowstone.*", lambda e, m, d, _: found.told.append((e, dict(m), dict(d))))
    tracers, loggers, meters = TracerProvider(), LoggerProvider(), MeterProvider([found.reader])
    tracers.add_span_processor(SimpleSpanProcessor(found.spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(found.logs))
    FlowstoneInstrumentor().instrument(
        tracer_provider=tracers, meter_provider=meters, logger_provider=loggers
    )
    yield found
    FlowstoneInstrumentor().uninstrument()
    detach("test")
    meters.shutdown()


@pytest.fixture
def dagster_telemetry(telemetry):
    """Return the same, with Dagster instrumented."""
    DagsterInstrumentor().instrument()
    yield telemetry
    DagsterInstrumentor().uninstrument()
