"""Every shape is redacted in every place of a span, a log record and a metric that is sent."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_plus

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.baggage import set_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_setter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assay.distro._json_logs import JsonFormatter
from assay.distro._processors import log_processor, redact_metrics, span_processor
from assay.distro._propagation import RedactingPropagator
from assay.semconv._redaction import rules
from assay.semconv.registry import definitions

REGISTRY = Path(__file__).parents[3] / "semconv" / "registry"

pytestmark = pytest.mark.skipif(
    not REGISTRY.is_dir(), reason="the package stands alone, outside its repository"
)

SHAPES = rules(definitions(REGISTRY / "redaction.yaml")).default
EXAMPLES = [(shape.id, example) for shape in SHAPES for example in shape.match if len(example.secret) >= 5]
"""Those whose secret is too long to stand in a random id or a time by accident."""
CONTEXT = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))

SPAN_PLACES: dict[str, Callable[[TracerProvider, str], None]] = {
    "name": lambda p, s: p.get_tracer("t").start_span(s).end(),
    "attribute": lambda p, s: p.get_tracer("t").start_span("n", attributes={"k": s}).end(),
    "attribute key": lambda p, s: p.get_tracer("t").start_span("n", attributes={s: "v"}).end(),
    "list": lambda p, s: p.get_tracer("t").start_span("n", attributes={"k": ["x", s]}).end(),
    "link": lambda p, s: p.get_tracer("t").start_span("n", links=[Link(CONTEXT, {"k": s})]).end(),
    "scope": lambda p, s: p.get_tracer(s).start_span("n").end(),
    "scope version": lambda p, s: p.get_tracer("t", s).start_span("n").end(),
    "scope attribute": lambda p, s: p.get_tracer("t", attributes={"k": s}).start_span("n").end(),
    "schema": lambda p, s: p.get_tracer("t", schema_url=s).start_span("n").end(),
}
LOG_PLACES: dict[str, dict[str, Callable[[str], object]]] = {
    "body": {"body": lambda s: s},
    "map": {"body": lambda s: {"a": {"b": [s]}}},
    "map key": {"body": lambda s: {"a": {s: 1}}},
    "attribute": {"attributes": lambda s: {"k": s}},
    "nested": {"attributes": lambda s: {"k": {"a": [s]}}},
    "attribute key": {"attributes": lambda s: {s: 1}},
    "event name": {"event_name": lambda s: s},
    "severity text": {"severity_text": lambda s: s},
}


def leaks(sent: Callable[[str], bytes | str]) -> list[str]:
    """Return the shapes whose example leaves its secret in what is sent."""
    found = []
    for rule, example in EXAMPLES:
        raw = sent(example.text)
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        assert "REDACTED" in text, (rule, example)
        if example.secret in text:
            found.append(f"{rule}: {example.text}")
    return found


def spans(create: Callable[[TracerProvider], None], resource: Resource | None = None) -> bytes:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=resource or Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(span_processor(exporter))
    create(provider)
    provider.force_flush()
    encoded = encode_spans(exporter.get_finished_spans()).SerializeToString()
    provider.shutdown()
    return encoded


def logs(resource: Resource | None = None, logger: str = "l", **fields: object) -> bytes:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=resource or Resource({}), shutdown_on_exit=False)
    provider.add_log_record_processor(log_processor(exporter))
    record = LogRecord(timestamp=1, severity_number=SeverityNumber.INFO, **fields)
    provider.get_logger(logger).emit(record)
    provider.force_flush()
    encoded = encode_logs(exporter.get_finished_logs()).SerializeToString()
    provider.shutdown()
    return encoded


def series(create: Callable[[MeterProvider], None], resource: Resource | None = None) -> bytes:
    exporter = KeepingExporter()
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    provider = MeterProvider([reader], resource=resource or Resource({}), shutdown_on_exit=False)
    redact_metrics(provider)
    create(provider)
    provider.force_flush()
    encoded = encode_metrics(exporter.kept[0]).SerializeToString()
    provider.shutdown()
    return encoded


class KeepingExporter(MetricExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = []

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        self.kept.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self, timeout_millis=30_000, **kwargs):
        pass


def test_every_shape_has_an_example():
    assert {rule for rule, _ in EXAMPLES} == {shape.id for shape in SHAPES}


@pytest.mark.parametrize("place", SPAN_PLACES)
def test_no_secret_leaves_in_a_span(place):
    assert leaks(lambda secret: spans(lambda p: SPAN_PLACES[place](p, secret))) == []


@pytest.mark.parametrize("place", ["event", "event attribute", "exception", "status", "resource"])
def test_no_secret_leaves_in_what_a_span_carries(place):
    def sent(secret: str) -> bytes:
        def create(provider: TracerProvider) -> None:
            with provider.get_tracer("t").start_as_current_span("n") as span:
                if place == "event":
                    span.add_event(secret)
                elif place == "event attribute":
                    span.add_event("e", {"k": secret})
                elif place == "exception":
                    span.record_exception(ValueError(secret))
                elif place == "status":
                    span.set_status(Status(StatusCode.ERROR, secret))

        return spans(create, Resource({"k": secret}) if place == "resource" else None)

    assert leaks(sent) == []


def in_trace_state(secret: str) -> SpanContext:
    state = TraceState([("other", "1"), ("k", secret)])
    return SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)


FOR_TRACE_STATE = [
    (rule, example) for rule, example in EXAMPLES if "k" in in_trace_state(example.text).trace_state
]
"""Those that the API keeps: a value has no comma and no equals sign."""


def test_no_secret_leaves_in_a_trace_state():
    assert len(FOR_TRACE_STATE) > 70
    for rule, example in FOR_TRACE_STATE:
        context = in_trace_state(example.text)
        parent = set_span_in_context(NonRecordingSpan(context))
        exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(span_processor(exporter))
        provider.get_tracer("t").start_span("n", parent, links=[Link(context)]).end()
        provider.shutdown()
        [span] = exporter.get_finished_spans()
        for sent in (span.context, span.links[0].context):
            assert sent.trace_state["other"] == "1"
            assert example.secret not in sent.trace_state.to_header(), rule


def test_no_secret_leaves_in_baggage_or_the_trace_state_of_a_request():
    propagator = RedactingPropagator(
        CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    )
    for rule, example in EXAMPLES:
        for place in ("value", "key", "secret key"):
            pair = {
                "value": ("k", example.text),
                "key": (example.text, "v"),
                "secret key": ("password", "v"),
            }[place]
            carrier: dict[str, str] = {}
            context = set_baggage(*pair, set_baggage("tenant", "acme"))
            propagator.inject(
                carrier, set_span_in_context(NonRecordingSpan(in_trace_state(example.text)), context)
            )
            sent = unquote_plus(carrier["baggage"])
            assert "tenant=acme" in sent
            assert example.secret not in sent + carrier["tracestate"], (rule, place)
            assert "password=v" not in sent
            assert carrier["traceparent"] == f"00-{1:032x}-{2:016x}-01"


def test_a_clean_context_is_propagated_as_it_is():
    context = set_baggage("tenant", "acme", set_span_in_context(NonRecordingSpan(in_trace_state("clean"))))
    seen = []

    class Watching(TraceContextTextMapPropagator):
        def inject(self, carrier, context=None, setter=default_setter):
            seen.append(context)

    RedactingPropagator(Watching()).inject({}, context)
    assert seen == [context]
    assert seen[0] is context


@pytest.mark.parametrize("place", LOG_PLACES)
def test_no_secret_leaves_in_a_log_record(place):
    fields = LOG_PLACES[place]
    assert leaks(lambda secret: logs(**{name: make(secret) for name, make in fields.items()})) == []


def test_no_secret_leaves_in_a_logger_or_a_resource_of_logs():
    assert leaks(lambda secret: logs(logger=secret, body="b")) == []
    assert leaks(lambda secret: logs(Resource({"k": secret}), body="b")) == []


METRIC_PLACES: dict[str, Callable[[MeterProvider, str], None]] = {
    "label": lambda p, s: p.get_meter("m").create_counter("c").add(1, {"k": s}),
    "label key": lambda p, s: p.get_meter("m").create_counter("c").add(1, {s: "v"}),
    "histogram": lambda p, s: p.get_meter("m").create_histogram("c").record(1, {"k": s}),
    "gauge": lambda p, s: p.get_meter("m").create_gauge("c").set(1, {"k": s}),
    "description": lambda p, s: p.get_meter("m").create_counter("c", description=s).add(1),
    "scope": lambda p, s: p.get_meter(s).create_counter("c").add(1),
    "scope attribute": lambda p, s: p.get_meter("m", attributes={"k": s}).create_counter("c").add(1),
}


@pytest.mark.parametrize("place", METRIC_PLACES)
def test_no_secret_leaves_in_a_metric(place):
    assert leaks(lambda secret: series(lambda p: METRIC_PLACES[place](p, secret))) == []


def test_no_secret_leaves_in_a_unit():
    short = [example for _, example in EXAMPLES if example.text.isascii() and len(example.text) < 64]
    assert len(short) > 80
    for example in short:
        sent = series(lambda p, unit=example.text: p.get_meter("m").create_counter("c", unit).add(1))
        assert example.secret not in sent.decode("utf-8", "replace")


def test_no_secret_leaves_in_a_resource_of_metrics():
    create = METRIC_PLACES["label"]
    assert leaks(lambda secret: series(lambda p: create(p, "v"), Resource({"k": secret}))) == []


@pytest.fixture
def formatted() -> Callable[..., str]:
    formatter = JsonFormatter()

    def act(message: str = "m", name: str = "n", **extra: object) -> str:
        record = logging.makeLogRecord({"msg": message, "name": name, **extra})
        return formatter.format(record)

    return act


@pytest.mark.parametrize("place", ["message", "name", "value", "key", "nested"])
def test_no_secret_leaves_in_a_json_line(formatted, place):
    def sent(secret: str) -> str:
        fields = {
            "message": {"message": secret},
            "name": {"name": secret},
            "value": {"field": secret},
            "key": {secret: 1},
            "nested": {"field": {"a": [secret]}},
        }
        return formatted(**fields[place])

    assert leaks(sent) == []


def test_clean_signals_are_not_copied():
    from assay.distro._redaction import redacted_metrics, redacted_record, redacted_span

    kept = SimpleNamespace(spans=InMemorySpanExporter(), logs=InMemoryLogRecordExporter())
    tracer = TracerProvider(shutdown_on_exit=False)
    tracer.add_span_processor(span_processor(kept.spans))
    with tracer.get_tracer("t", "1").start_as_current_span("n", attributes={"k": "v"}) as span:
        span.add_event("e", {"k": "v"})
        span.set_status(Status(StatusCode.ERROR, "failed"))
    tracer.shutdown()
    (span,) = kept.spans.get_finished_spans()
    assert redacted_span(span) is span
    logger = LoggerProvider(shutdown_on_exit=False)
    logger.add_log_record_processor(log_processor(kept.logs))
    logger.get_logger("l", "1").emit(LogRecord(timestamp=1, body="b", attributes={"k": "v"}))
    logger.shutdown()
    (record,) = kept.logs.get_finished_logs()
    assert redacted_record(record) is record
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False)
    meter.get_meter("m", "1").create_counter("c", description="d").add(1, {"k": "v"})
    data = reader.get_metrics_data()
    meter.shutdown()
    assert redacted_metrics(data) is data
