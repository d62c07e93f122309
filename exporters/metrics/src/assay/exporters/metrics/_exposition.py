"""Write the series in Prometheus' text format or in OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, cast

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

from assay.exporters.metrics._current import CurrentValue
from assay.exporters.metrics._points import ExemplarPoint, Family
from assay.exporters.metrics._series import Series


def encode(sums: Iterable[Series], current: Iterable[CurrentValue], accept: str) -> tuple[bytes, str]:
    """Return the page and its content type.

    Args:
        sums: Counters, histograms and summaries.
        current: Gauges. One whose name is also that of a sum is left out.
        accept: The request's header `Accept`; OpenMetrics has exemplars.
    """
    encoder, content_type = choose_encoder(accept)
    return encoder(cast("Any", _Families(sums, current))), content_type


class _Families(Collector):
    def __init__(self, sums: Iterable[Series], current: Iterable[CurrentValue]) -> None:
        self._sums = sums
        self._current = current

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for series in self._sums:
            _add_sum(_family(families, series.family), series)
        summed = set(families)
        for gauge in self._current:
            if gauge.family.name not in summed:
                family = _family(families, gauge.family)
                family.add_sample(gauge.family.name, dict(gauge.labels), gauge.value)
        return [families[name] for name in sorted(families)]


def _family(families: dict[str, Metric], family: Family) -> Metric:
    found = families.get(family.name)
    if found is None:
        kind = "gauge" if family.kind == "updowncounter" else family.kind
        found = families[family.name] = Metric(family.name.removesuffix("_total"), family.help, kind)
    return found


def _add_sum(family: Metric, series: Series) -> None:
    name, labels = series.family.name, dict(series.labels)
    if series.family.kind == "counter":
        family.add_sample(name, labels, series.total[0])
        return
    count, total, *buckets = series.total
    if series.family.kind == "histogram":
        for index, (bound, below) in enumerate(zip(_bounds(series), accumulate(buckets), strict=True)):
            exemplar = series.exemplars.get(index)
            family.add_sample(
                f"{name}_bucket", {**labels, "le": bound}, below, exemplar=exemplar and _exemplar(exemplar)
            )
    family.add_sample(f"{name}_count", labels, count)
    family.add_sample(f"{name}_sum", labels, total)


def _bounds(series: Series) -> Iterator[str]:
    """Yield the values of the label `le`."""
    for bound in (*series.bounds, float("inf")):
        yield floatToGoString(bound)


def _exemplar(exemplar: ExemplarPoint) -> Exemplar:
    ids = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return Exemplar({name: value for name, value in ids.items() if value}, exemplar.value, exemplar.time)
