"""The host's own metrics, through the OpenTelemetry API: they go where the process sends its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product

from opentelemetry.metrics import CallbackOptions, Observation, get_meter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from assay.host._refusal import CODES
from assay.host.exporter import Batch, Peer, Request, Signal
from assay.semconv import metrics

_KEPT = ("false", "true")
OUTCOMES = ("accepted", "retry", "rejected", "failed")

_meter = get_meter("assay.host")
_batches = _meter.create_counter(
    metrics.ASSAY_HOST_BATCHES,
    "{batch}",
    "Batches that an exporter has processed, by outcome: accepted, retry, rejected, failed",
)
_items = _meter.create_counter(metrics.ASSAY_HOST_ITEMS, "{item}", "Spans, metrics and log records accepted")
_duration = _meter.create_histogram(
    metrics.ASSAY_HOST_EXPORT_DURATION,
    "s",
    "Time that an exporter took for one batch",
    # The SDK's default bounds are for milliseconds.
    explicit_bucket_boundaries_advisory=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30),
)
_refused = _meter.create_counter(metrics.ASSAY_HOST_REFUSED, "{request}", "Requests answered with an error")
_undecodable = _meter.create_counter(
    metrics.ASSAY_HOST_UNDECODABLE, "{batch}", "Batches from a Collector that are not valid OTLP"
)


def exported(exporter: str, batch: Batch, outcome: str, seconds: float) -> None:
    """Record that an exporter has processed a batch."""
    labels = {"exporter": exporter, "signal": batch.signal, "outcome": outcome}
    _batches.add(1, labels)
    _duration.record(seconds, labels)
    if outcome == "accepted" and batch.request is not None:
        _items.add(count_items(batch.request), {"exporter": exporter, "signal": batch.signal})


def refused(listener: str, status: int) -> None:
    """Count a request that was answered with an error."""
    _refused.add(1, {"listener": listener, "status": status})


def undecodable(listener: str, signal: Signal, *, kept: bool) -> None:
    """Count an undecodable batch from a Collector; `kept`: an exporter accepts it."""
    _undecodable.add(1, {"listener": listener, "signal": signal, "kept": _KEPT[kept]})


def start_counters(exporters: Mapping[str, frozenset[Signal]], listeners: Mapping[str, Peer]) -> None:
    """Report 0 for each series that may be counted later, so that `increase()` includes the first count.

    Args:
        exporters: Name of each exporter, and the signals that it accepts.
        listeners: Name of each listener, and the kind of its senders.
    """
    for exporter, signals in exporters.items():
        for signal in signals:
            _items.add(0, {"exporter": exporter, "signal": signal})
            for outcome in OUTCOMES:
                _batches.add(0, {"exporter": exporter, "signal": signal, "outcome": outcome})
    for listener, peer in listeners.items():
        for status in CODES:
            _refused.add(0, {"listener": listener, "status": status})
        if peer == "collector":
            for signal, kept in product(sorted(frozenset[Signal]().union(*exporters.values())), _KEPT):
                _undecodable.add(0, {"listener": listener, "signal": signal, "kept": kept})


def watch(depths: Callable[[], Mapping[str, int]]) -> None:
    """Report the number of batches in each exporter's queue.

    Args:
        depths: Returns the number of batches that wait for each exporter or are being exported.
    """

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(depth, {"exporter": name}) for name, depth in depths().items()]

    _meter.create_observable_gauge(
        metrics.ASSAY_HOST_QUEUE_DEPTH,
        [observe],
        "{batch}",
        "Batches that wait for an exporter or are being exported",
    )


def count_items(request: Request) -> int:
    """Return the number of spans, metrics or log records in a request."""
    if isinstance(request, ExportLogsServiceRequest):
        return sum(len(scope.log_records) for part in request.resource_logs for scope in part.scope_logs)
    if isinstance(request, ExportMetricsServiceRequest):
        return sum(len(scope.metrics) for part in request.resource_metrics for scope in part.scope_metrics)
    return sum(len(scope.spans) for part in request.resource_spans for scope in part.scope_spans)
