"""Measure one operation through the bus and the bridge against the same operation written by hand.

Both create one span, one histogram measurement, one counter measurement and one log event with equal
attributes, in the SDK's real pipelines up to the exporter. The bus has its defaults, correlation ids and
redaction on; both operations read the id from the baggage. They alternate, so that other load on the machine
affects both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns, time_ns

from opentelemetry import baggage
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from assay.semconv.catalogue import Attribute, Catalogue, Event, Metric, Recording, Span
from assay.telemetry import correlation, span
from assay.telemetry.bridge import Bridge
from benchmarks.row import Row

BOUND = 1.05
OPERATIONS = 4_000
BATCH = 50
RUN = "0f8b7c52-7f5c-4a6e-9a60-0d3e63c1f7a4"
ASSETS = tuple(f"warehouse_table_{number}" for number in range(20))
PARTITIONS = tuple(f"2026-11-{number:02}" for number in range(1, 29))

_ASSET = Attribute("benchmark.asset", "asset")
_PARTITION = Attribute("benchmark.partition", "partition")
_RUN_ID = Attribute("benchmark.run_id", "run_id")
_DURATION = Attribute(
    "benchmark.duration_ms", "duration_ms", "double", measurement=True, source="duration", scale=1e-6
)
_STATUS = Attribute("benchmark.status", "status")
_STOP = "benchmark.materialization.stop"
_BUCKETS = (1.0, 10.0, 100.0, 1000.0, 10000.0)

CATALOGUE = Catalogue(
    spans={
        "benchmark.materialization": Span(
            "benchmark.materialization", attributes=(_ASSET, _PARTITION, _RUN_ID), stop_attributes=(_STATUS,)
        )
    },
    events={
        _STOP: Event(
            _STOP, body="Materialization completed", attributes=(_ASSET, _PARTITION, _RUN_ID, _DURATION)
        )
    },
    metrics={
        "benchmark.materialization.duration": Metric(
            "benchmark.materialization.duration",
            "histogram",
            "ms",
            labels=(_ASSET,),
            recordings=(Recording(_STOP, "duration", 1e-6),),
            buckets=_BUCKETS,
        ),
        "benchmark.materialization.stop.count": Metric(
            "benchmark.materialization.stop.count",
            "counter",
            "{materialization}",
            labels=(_ASSET, _STATUS),
            recordings=(Recording(_STOP, defaults={"status": "success"}),),
        ),
    },
)


def run(rounds: int = 5) -> list[Row]:
    """Measure the operation with sampled and with unsampled traces."""
    note = "times the same by hand: span, histogram, counter, log event"
    return [
        Row("one instrumented operation", _measure(rounds, ALWAYS_ON), BOUND, "at most", rounds, note),
        Row("the same, trace not sampled", _measure(rounds, ALWAYS_OFF), BOUND, "at most", rounds, note),
    ]


def _measure(rounds: int, sampler: Sampler) -> float:
    ratios: list[float] = []
    with _both(sampler) as (by_hand, by_bus):
        _alternate(by_hand, by_bus, OPERATIONS // 4)
        for _ in range(rounds):
            hand, bus = _alternate(by_hand, by_bus, OPERATIONS)
            ratios.append(bus / hand)
    return median(ratios)


class _Spans(SpanProcessor):
    """Counts the items that an exporter would receive."""

    def __init__(self) -> None:
        self.count = 0

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - counted, not read
        self.count += 1


class _Logs(LogRecordProcessor):
    """Counts the items that an exporter would receive."""

    def __init__(self) -> None:
        self.count = 0

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:  # noqa: ARG002 - counted, not read
        self.count += 1

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing waits
        return True


@contextmanager
def _both(sampler: Sampler) -> Generator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Yield the operation by hand and through the bus, on separate providers; compare their counts."""
    hand, bus = Providers(sampler), Providers(sampler)
    bridge = Bridge(
        CATALOGUE, tracer_provider=bus.tracer, meter_provider=bus.meter, logger_provider=bus.logger
    )
    bridge.attach()
    try:
        with correlation(RUN):
            yield _by_hand(hand), _by_bus
    finally:
        bridge.detach()
    assert hand.spans.count == bus.spans.count, (hand.spans.count, bus.spans.count)
    assert bool(bus.spans.count) == (sampler is ALWAYS_ON), bus.spans.count
    assert hand.logs.count == bus.logs.count > 0, (hand.logs.count, bus.logs.count)
    hand.shutdown()
    bus.shutdown()


class Providers:
    """The providers of one SDK."""

    def __init__(self, sampler: Sampler) -> None:
        self.spans, self.logs = _Spans(), _Logs()
        self.tracer = TracerProvider(sampler, shutdown_on_exit=False)
        self.tracer.add_span_processor(self.spans)
        self.meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
        self.logger = LoggerProvider(shutdown_on_exit=False)
        self.logger.add_log_record_processor(self.logs)

    def shutdown(self) -> None:
        """Stop the threads of the SDK."""
        self.tracer.shutdown()
        self.meter.shutdown()
        self.logger.shutdown()


def _by_bus(number: int) -> None:
    with span(
        "benchmark.materialization",
        asset=ASSETS[number % 20],
        partition=PARTITIONS[number % 28],
        run_id=RUN,
        status="success",
    ):
        pass


def _by_hand(providers: Providers) -> Callable[[int], None]:
    """Return the operation written as in OpenTelemetry's documentation."""
    tracer = providers.tracer.get_tracer("assay.benchmark", "1")
    meter = providers.meter.get_meter("assay.benchmark", "1")
    logger = providers.logger.get_logger("assay.benchmark", "1")
    histogram = meter.create_histogram(
        "benchmark.materialization.duration", "ms", explicit_bucket_boundaries_advisory=_BUCKETS
    )
    counter = meter.create_counter("benchmark.materialization.stop.count", "{materialization}")

    def operation(number: int) -> None:
        asset, partition = ASSETS[number % 20], PARTITIONS[number % 28]
        correlation_id = str(baggage.get_baggage("assay.correlation_id"))
        with tracer.start_as_current_span(
            "benchmark.materialization",
            attributes={
                "benchmark.asset": asset,
                "benchmark.partition": partition,
                "benchmark.run_id": RUN,
                "assay.correlation_id": correlation_id,
            },
        ) as current:
            start = perf_counter_ns()
            duration_ms = (perf_counter_ns() - start) * 1e-6
            histogram.record(duration_ms, {"asset": asset})
            counter.add(1, {"asset": asset, "status": "success"})
            logger.emit(
                timestamp=time_ns(),
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body="Materialization completed",
                event_name=_STOP,
                attributes={
                    "benchmark.asset": asset,
                    "benchmark.partition": partition,
                    "benchmark.run_id": RUN,
                    "benchmark.duration_ms": duration_ms,
                    "assay.correlation_id": correlation_id,
                },
            )
            current.set_attribute("benchmark.status", "success")

    return operation


def _alternate(
    first: Callable[[int], None], second: Callable[[int], None], operations: int
) -> tuple[int, int]:
    """Return the time of each function (ns); they take turns batch by batch, in alternating order."""
    times = {first: 0, second: 0}
    for batch in range(operations // BATCH):
        order = (first, second) if batch % 2 == 0 else (second, first)
        for operation in order:
            start = perf_counter_ns()
            for number in range(batch * BATCH, (batch + 1) * BATCH):
                operation(number)
            times[operation] += perf_counter_ns() - start
    return times[first], times[second]
