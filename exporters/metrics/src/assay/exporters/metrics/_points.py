"""Read the data points of an OTLP request: counters and histograms to add up, and current values.

Sources: OpenTelemetry metrics data model, sections "Sums", "Histogram", "Temporality" and "Resets and Gaps";
"Prometheus and OpenMetrics Compatibility" for names and labels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from assay.semconv.prometheus import label_name, series_name

Kind: TypeAlias = Literal["counter", "histogram", "summary", "gauge", "updowncounter"]
Vector: TypeAlias = tuple[float, ...]
"""The numbers of a point: (value,) of a counter; (count, sum) of a summary; (count, sum, buckets) of a
histogram. The first one only grows, so of two points of one stream the larger one is the newer one."""

IDENTITY = ("service.namespace", "service.name", "service.instance.id")
NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family on `/metrics`.

    Args:
        name: Name of its series; for a histogram or a summary the base name.
        kind: The kind of its series.
        help: One line for `# HELP`.
    """

    name: str
    kind: Kind
    help: str = ""


Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values of a series' labels, sorted."""


@dataclass(frozen=True, slots=True)
class ExemplarPoint:
    """An exemplar of a histogram: a value, its Unix time in seconds, and its span's ids in hexadecimal."""

    value: float
    time: float
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Point:
    """One data point.

    Args:
        process: Identity of the writer: a hash of the process' identity and the instrumentation scope.
        family: Its family.
        labels: Labels of its series.
        start: When the stream began to count, in Unix nanoseconds; 0 if unknown.
        time: When the value was read, in Unix nanoseconds.
        vector: The numbers.
        bounds: Upper bounds of a histogram's buckets, without infinity.
        exemplars: Exemplars of a histogram.
    """

    process: bytes
    family: Family
    labels: Labels
    start: int
    time: int
    vector: Vector
    bounds: Vector = ()
    exemplars: tuple[ExemplarPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """A data point that no series can contain.

    Args:
        metric: Name of its metric.
        reason: `unsupported` or `invalid`.
    """

    metric: str
    reason: Literal["unsupported", "invalid"]


def read_points(request: ExportMetricsServiceRequest) -> Iterator[Point | Unusable]:
    """Yield the data points of a request, in its order."""
    for resource in request.resource_metrics:
        attributes = _texts(resource.resource.attributes)
        for scope in resource.scope_metrics:
            process = _process(attributes, scope.scope.name)
            for metric in scope.metrics:
                yield from _of_metric(metric, process, _job(attributes))


def _process(attributes: Mapping[str, str], scope: str) -> bytes:
    """Return the identity of a writer.

    Only identifying attributes count: a Collector adds others, such as a pod's labels, to some batches only.
    Without an instance id all attributes identify the process.
    """
    if attributes.get("service.instance.id"):
        identity = [attributes.get(key, "") for key in IDENTITY]
    else:
        identity = sorted(attributes.items())
    return hashlib.sha256(json.dumps([identity, scope]).encode()).digest()[:16]


def _job(attributes: Mapping[str, str]) -> Labels:
    """Return the label `job`: the service's namespace and name, as the Collector's exporter forms it."""
    name = attributes.get("service.name", "")
    namespace = attributes.get("service.namespace", "")
    return (("job", f"{namespace}/{name}" if namespace else name),) if name else ()


def _of_metric(metric: Metric, process: bytes, job: Labels) -> Iterator[Point | Unusable]:
    data: str | None = metric.WhichOneof("data")
    kind = _kind(metric, data)
    if data is None or kind is None:
        yield Unusable(metric.name, "unsupported")
        return
    family = Family(series_name(metric.name, metric.unit, kind), kind, metric.description)
    stream: Any = getattr(metric, data)
    delta = getattr(stream, "aggregation_temporality", None) == DELTA
    for point in stream.data_points:
        if point.flags & NO_VALUE:
            continue
        vector, bounds = _vector(data, point)
        labels = _labels(point.attributes, job)
        if not family.name or not all(name for name, _ in labels) or not _is_valid(kind, vector, bounds):
            yield Unusable(metric.name, "invalid")
            continue
        yield Point(
            process,
            family,
            labels,
            _start(point, delta=delta),
            point.time_unix_nano,
            vector,
            bounds,
            tuple(_exemplars(point.exemplars)) if data == "histogram" else (),
        )


def _kind(metric: Metric, data: str | None) -> Kind | None:
    """Return the kind of a metric's series; None for a metric without data and for deltas that may fall."""
    if data == "sum" and not metric.sum.is_monotonic:
        return None if metric.sum.aggregation_temporality == DELTA else "updowncounter"
    kinds: dict[str | None, Kind] = {
        "sum": "counter",
        "gauge": "gauge",
        "histogram": "histogram",
        "exponential_histogram": "histogram",
        "summary": "summary",
    }
    return kinds.get(data)


def _start(point: Any, *, delta: bool) -> int:  # noqa: ANN401  any of OTLP's data points
    """Return the start of a point's stream. Each interval of a delta stream counts as a stream of its own."""
    start: int = point.start_time_unix_nano
    return start or (point.time_unix_nano if delta else 0)


def _vector(data: str, point: Any) -> tuple[Vector, Vector]:  # noqa: ANN401  any of OTLP's data points
    """Return the numbers of a point, and the bounds of its buckets."""
    if data in {"sum", "gauge"}:
        return (_number(point),), ()
    if data == "histogram":
        histogram: HistogramDataPoint = point
        buckets = histogram.bucket_counts or [histogram.count]
        bounds = histogram.explicit_bounds if histogram.bucket_counts else ()
        return (histogram.count, histogram.sum, *buckets), tuple(bounds)
    if data == "exponential_histogram":
        return (point.count, point.sum, point.count), ()
    return (point.count, point.sum), ()


def _number(point: NumberDataPoint) -> float:
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double


def _is_valid(kind: Kind, vector: Vector, bounds: Vector) -> bool:
    if kind in {"gauge", "updowncounter"}:
        return True
    if not all(map(math.isfinite, vector)) or vector[0] < 0:
        return False
    if kind != "histogram":
        return True
    buckets = vector[2:]
    ascending = all(lower < upper for lower, upper in pairwise(bounds))
    return len(buckets) == len(bounds) + 1 and sum(buckets) == vector[0] and ascending


def _labels(attributes: Iterable[KeyValue], job: Labels) -> Labels:
    """Return a point's labels, sorted; the values of keys that become one label are joined with `;`."""
    labels: dict[str, str] = {}
    for key, value in sorted(_texts(attributes).items()):
        name = label_name(key)
        labels[name] = f"{labels[name]};{value}" if name in labels else value
    return tuple(sorted({**labels, **dict(job)}.items()))


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {attribute.key: _text(attribute.value) for attribute in attributes}


def _text(value: AnyValue) -> str:
    """Return a value as a label shows it; what is not a scalar becomes JSON."""
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: AnyValue) -> Any:  # noqa: ANN401  any JSON value
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in value.kvlist_value.values}
    found: Any = getattr(value, kind)
    return found.hex() if isinstance(found, bytes) else found


def _exemplars(exemplars: Sequence[Any]) -> Iterator[ExemplarPoint]:
    for exemplar in exemplars:
        if exemplar.trace_id:
            yield ExemplarPoint(
                _number(exemplar),
                exemplar.time_unix_nano / 1e9,
                exemplar.trace_id.hex(),
                exemplar.span_id.hex(),
            )
