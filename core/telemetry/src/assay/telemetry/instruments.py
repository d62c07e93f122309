"""Counters, histograms and gauges, and what records an event in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation, get_meter

from assay.semconv.catalogue import Metric
from assay.telemetry.plan import Record
from assay.telemetry.redaction import hits
from assay.telemetry.scope import VERSION, scope_name

Recorder: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], "Context | None"], None]

WEIGHT = "telemetry_weight"
"""Metadata of a sampled event: how many events it stands for."""
REPEAT_LIMIT = 1000
"""How often a histogram records a sampled event's value, at most."""


class Instruments:
    """Makes each instrument once.

    Args:
        provider: Of meters; None is the global one.
    """

    def __init__(self, provider: MeterProvider | None) -> None:
        self._provider = provider
        self._meters: dict[str, Meter] = {}
        self._record: dict[str, Callable[[Any, Any, Any], None]] = {}
        get_meter("assay.telemetry", VERSION, provider).create_observable_counter(
            "assay.redaction.hits",
            [_observe_hits],
            "{secret}",
            "Secrets taken out of what was told, by rule.",
        )

    def recorders(self, records: Iterable[Record]) -> tuple[Recorder, ...]:
        """Return what records an event: called with its measurements, its metadata and the span's context."""
        return tuple(self._recorder(record) for record in records)

    def _recorder(self, record: Record) -> Recorder:
        value, labels = record.value, record.labels
        write = self._writer(record.metric)
        if record.metric.instrument == "gauge":
            return _unweighted(write, record)
        weigh = _repeated(write) if record.metric.instrument == "histogram" else _multiplied(write)
        constant = record.constant

        def recorder(
            measurements: Mapping[str, Any], metadata: Mapping[str, Any], context: Context | None
        ) -> None:
            amount = value(measurements, metadata) if constant is None else constant
            if amount is None:
                return
            if WEIGHT not in metadata:
                write(amount, labels(measurements, metadata), context)
            else:
                weigh(amount, labels(measurements, metadata), context, metadata[WEIGHT])

        return recorder

    def _writer(self, metric: Metric) -> Callable[[Any, Any, Any], None]:
        write = self._record.get(metric.name)
        if write is None:
            write = self._record[metric.name] = _make(self._meter(metric), metric)
        return write

    def _meter(self, metric: Metric) -> Meter:
        scope = scope_name(metric.name)
        if scope not in self._meters:
            self._meters[scope] = get_meter(scope, VERSION, self._provider)
        return self._meters[scope]


def _observe_hits(_options: CallbackOptions) -> list[Observation]:
    return [Observation(count, {"rule": rule}) for rule, count in hits().items()]


def _make(meter: Meter, metric: Metric) -> Callable[[Any, Any, Any], None]:
    name, unit, description = metric.name, metric.unit, metric.description
    if metric.instrument == "counter":
        return meter.create_counter(name, unit, description).add
    if metric.instrument == "updowncounter":
        return meter.create_up_down_counter(name, unit, description).add
    if metric.instrument == "gauge":
        return meter.create_gauge(name, unit, description).set
    histogram: Histogram = meter.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=list(metric.buckets) or None
    )
    return histogram.record


def _unweighted(write: Callable[[Any, Any, Any], None], record: Record) -> Recorder:
    value, labels = record.value, record.labels

    def recorder(
        measurements: Mapping[str, Any], metadata: Mapping[str, Any], context: Context | None
    ) -> None:
        amount = value(measurements, metadata)
        if amount is not None:
            write(amount, labels(measurements, metadata), context)

    return recorder


def _multiplied(write: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any, float], None]:
    def weigh(amount: float, labels: Any, context: Any, weight: float) -> None:  # noqa: ANN401 - as write
        write(amount * weight, labels, context)

    return weigh


def _repeated(write: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any, float], None]:
    def weigh(amount: float, labels: Any, context: Any, weight: float) -> None:  # noqa: ANN401 - as write
        times = int(weight)
        if random.random() < weight - times:  # noqa: S311 - sampling, not secrecy
            times += 1
        for _ in range(min(times, REPEAT_LIMIT)):
            write(amount, labels, context)

    return weigh
