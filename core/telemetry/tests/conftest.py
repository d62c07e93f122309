from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from opentelemetry.context import Context
from opentelemetry.context import attach as attach_context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assay.semconv.catalogue import Attribute, Audit, Catalogue, Event, Metric, Recording, Span
from assay.telemetry import _pipeline, attach, bus, detach, redaction, sampling
from assay.telemetry import bridge as bridges
from assay.telemetry._bridge import open_spans
from assay.telemetry.bridge import Bridge


@pytest.fixture(autouse=True)
def clean_bus():
    yield
    for one in bridges.attached():
        one.detach()
    bus.unsubscribe({handler.id for handler in bus.list_handlers()})
    for spans in open_spans._by_event.values():
        spans.by_key.clear()
        spans.evicted.clear()
        spans.limit = open_spans.OPEN_LIMIT
    attach_context(Context())
    _pipeline.describe(frozenset(), {})
    bridges.set_defaults(None)
    bridges._relay = None
    bridges._triggered.clear()
    sampling.clear()
    redaction.configure()


class Seen(list):
    """The events that a handler got."""

    def __call__(self, event, measurements, metadata, config):
        self.append((event, dict(measurements), dict(metadata)))

    @property
    def names(self):
        return [event for event, _, _ in self]

    def of(self, name):
        return next((m, d) for event, m, d in self if event == name)


@pytest.fixture
def seen():
    heard = Seen()
    attach("seen", "*", heard)
    yield heard
    detach("seen")


ASSET = Attribute("f.asset", "asset", also=("cicd.task",))
RUN = Attribute("f.run", "run_id")
SIZE = Attribute("f.size", "size", "int", measurement=True)
MILLIS = Attribute("f.duration_ms", "duration_ms", "double", measurement=True, source="duration", scale=1e-6)
ERROR = Attribute("error.type", "error_type")
MESSAGE = Attribute("error.message", "error_message")
HEALTHY = Attribute("f.healthy", "healthy", "boolean")
OUTCOME = Attribute("f.outcome", "outcome")
ACTOR = Attribute("f.actor", "actor")
NOTE = Attribute("f.note", "note")

CATALOGUE = Catalogue(
    spans={
        "f.make": Span("f.make", kind="client", attributes=(ASSET, RUN), stop_attributes=(SIZE,)),
        "f.outer": Span("f.outer", attributes=(ASSET,)),
        "f.scatter": Span("f.scatter", stops=("complete",), exceptions=("failed",), attributes=(ASSET,)),
    },
    events={
        "f.make.start": Event("f.make.start", body="Making", attributes=(ASSET,)),
        "f.make.stop": Event("f.make.stop", body="Made", attributes=(ASSET, RUN, MILLIS)),
        "f.make.exception": Event(
            "f.make.exception", severity="error", body="Failed", attributes=(ASSET, ERROR, MESSAGE)
        ),
        "f.approved": Event(
            "f.approved",
            attributes=(ASSET, ACTOR, NOTE, OUTCOME),
            audit=Audit("APPROVE", "{outcome}", "asset", "asset", actor="actor"),
        ),
        "f.note": Event("f.note", attributes=(NOTE,)),
    },
    metrics={
        "f.make.count": Metric(
            "f.make.count", "counter", "{make}", labels=(ASSET,), recordings=(Recording("f.make.stop"),)
        ),
        "f.make.errors": Metric(
            "f.make.errors", "counter", "{e}", labels=(ERROR,), recordings=(Recording("f.make.exception"),)
        ),
        "f.make.duration": Metric(
            "f.make.duration",
            "histogram",
            "ms",
            labels=(ASSET,),
            recordings=(Recording("f.make.stop", "duration", 1e-6),),
            buckets=(1.0, 2.0, 3.0),
        ),
        "f.healthy": Metric(
            "f.healthy", "gauge", "1", labels=(ASSET,), recordings=(Recording("f.health", "healthy"),)
        ),
        "f.unhealthy": Metric(
            "f.unhealthy",
            "counter",
            "1",
            labels=(HEALTHY,),
            recordings=(Recording("f.health", when={"healthy": False}),),
        ),
        "f.busy": Metric(
            "f.busy",
            "updowncounter",
            "1",
            recordings=(Recording("f.make.start"), Recording("f.make.stop", scale=-1)),
        ),
    },
)


@dataclass
class Telemetry:
    """An SDK that exports to memory, and a bridge into it."""

    spans_exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    logs_exporter: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    records: list = field(default_factory=list)
    bridge: Bridge | None = None

    def __post_init__(self):
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans_exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.loggers = LoggerProvider(shutdown_on_exit=False)
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self.logs_exporter))

    def audit(self, event_name, attributes, body, *, time_unix_nano):
        self.records.append((event_name, dict(attributes), body, time_unix_nano))

    def make_bridge(self, catalogue=CATALOGUE, **kwargs):
        kwargs.setdefault("audit", self.audit)
        return Bridge(
            catalogue,
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            logger_provider=self.loggers,
            **kwargs,
        )

    @property
    def spans(self):
        return self.spans_exporter.get_finished_spans()

    def span(self, name):
        [found] = [s for s in self.spans if s.name == name]
        return found

    @property
    def logs(self):
        return [entry.log_record for entry in self.logs_exporter.get_finished_logs()]

    def points(self, name):
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def values(self, name):
        return {tuple(sorted(p.attributes.items())): p.value for p in self.points(name)}


@pytest.fixture
def otel():
    telemetry = Telemetry()
    telemetry.bridge = telemetry.make_bridge()
    telemetry.bridge.attach()
    yield telemetry
    telemetry.bridge.detach()
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()
    telemetry.loggers.shutdown()


@pytest.fixture
def new_telemetry():
    """Return a function that makes an SDK in memory with an attached bridge for a catalogue."""
    made = []

    def make(catalogue, **kwargs):
        telemetry = Telemetry()
        telemetry.bridge = telemetry.make_bridge(catalogue, **kwargs)
        telemetry.bridge.attach()
        made.append(telemetry)
        return telemetry

    yield make
    for telemetry in made:
        telemetry.meters.shutdown()


@pytest.fixture
def catalogue():
    return CATALOGUE
