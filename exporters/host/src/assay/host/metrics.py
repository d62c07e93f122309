"""The host's own series, through the OpenTelemetry API: they go where the process sends its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from assay.host.exporter import Batch, Request, Signal

_meter = metrics.get_meter("assay.host")
_batches = _meter.create_counter(
    "assay.host.batches",
    "{batch}",
    "Batches that an exporter took, by outcome: accepted, retry, rejected, failed",
)
_items = _meter.create_counter(
    "assay.host.items", "{item}", "Spans, metrics and log records that were accepted"
)
_duration = _meter.create_histogram(
    "assay.host.export.duration",
    "s",
    "Time an exporter took for one batch",
    # The SDK's default bounds are for milliseconds.
    explicit_bucket_boundaries_advisory=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30),
)
_refused = _meter.create_counter("assay.host.refused", "{request}", "Requests answered with an error")
_undecodable = _meter.create_counter(
    "assay.host.undecodable", "{batch}", "Batches from a Collector that are no OTLP"
)


def exported(exporter: str, batch: Batch, outcome: str, seconds: float) -> None:
    """Count one batch that an exporter has dealt with."""
    labels = {"exporter": exporter, "signal": batch.signal, "outcome": outcome}
    _batches.add(1, labels)
    _duration.record(seconds, labels)
    if outcome == "accepted" and batch.request is not None:
        _items.add(items(batch.request), {"exporter": exporter, "signal": batch.signal})


def refused(listener: str, status: int) -> None:
    """Count one request that was answered with an error."""
    _refused.add(1, {"listener": listener, "status": status})


def undecodable(listener: str, signal: Signal, kept: str) -> None:
    """Count one batch from a Collector that cannot be parsed; `kept`: "true" when an exporter has it."""
    _undecodable.add(1, {"listener": listener, "signal": signal, "kept": kept})


def watch(depths: Callable[[], Mapping[str, int]]) -> None:
    """Observe the queues: how many batches each exporter has before it."""

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(depth, {"exporter": name}) for name, depth in depths().items()]

    _meter.create_observable_gauge(
        "assay.host.queue.depth", [observe], "{batch}", "Batches that wait for an exporter or are with it"
    )


def items(request: Request) -> int:
    """How many spans, metrics or log records there are in a request."""
    if isinstance(request, ExportLogsServiceRequest):
        return sum(len(scope.log_records) for part in request.resource_logs for scope in part.scope_logs)
    if isinstance(request, ExportMetricsServiceRequest):
        return sum(len(scope.metrics) for part in request.resource_metrics for scope in part.scope_metrics)
    return sum(len(scope.spans) for part in request.resource_spans for scope in part.scope_spans)
