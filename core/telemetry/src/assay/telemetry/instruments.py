"""Counters, histograms and gauges, and what records an event in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation, get_meter

from assay.semconv.catalogue import Metric, Recording, Scalar
from assay.telemetry.labels import LabelSet
from assay.telemetry.plan import Record
from assay.telemetry.redaction import hits
from assay.telemetry.scope import VERSION, scope_name
from assay.telemetry.source import Source
from assay.telemetry.values import number, text

Recorder: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], "Context | None"], None]
Add: TypeAlias = Callable[[Any, Any, Any], None]
"""An instrument's method: takes amount, labels and context."""
AddWeighted: TypeAlias = Callable[[Any, Any, Any, float], None]

WEIGHT = "telemetry_weight"
"""Metadata of a sampled event: how many events it stands for."""
REPEAT_LIMIT = 1000
"""How often a histogram records a sampled event's value, at most."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One way from an event into an instrument.

    Args:
        recording: Which value, and when.
        labels: The instrument's.
        add: Records.
        add_weighted: Records for a sampled event; None of a gauge, which takes no notice.
    """

    recording: Recording
    labels: LabelSet
    add: Add
    add_weighted: AddWeighted | None


class Instruments:
    """Makes each instrument once.

    Args:
        provider: Of meters; None is the global one.
    """

    def __init__(self, provider: MeterProvider | None) -> None:
        self._provider = provider
        self._meters: dict[str, Meter] = {}
        self._adds: dict[str, Add] = {}
        get_meter("assay.telemetry", VERSION, provider).create_observable_counter(
            "assay.redaction.hits",
            [_observe_hits],
            "{secret}",
            "Secrets taken out of what was told, by rule.",
        )

    def make(self, records: Iterable[Record]) -> tuple[Recorded, ...]:
        """Return the ways of an event into its instruments."""
        return tuple(self._recorded(record) for record in records)

    def _recorded(self, record: Record) -> Recorded:
        metric, recording = record.metric, record.recording
        add = self._adds.get(metric.name)
        if add is None:
            add = self._adds[metric.name] = _make(self._meter(metric), metric)
        add_weighted = None
        if metric.instrument == "histogram":
            add_weighted = _repeated(add)
        elif metric.instrument != "gauge":
            add_weighted = _multiplied(add)
        return Recorded(recording, LabelSet(metric, recording), add, add_weighted)

    def _meter(self, metric: Metric) -> Meter:
        scope = scope_name(metric.name)
        if scope not in self._meters:
            self._meters[scope] = get_meter(scope, VERSION, self._provider)
        return self._meters[scope]


def recorder(recorded: Iterable[Recorded]) -> Recorder:
    """Return what records an event."""
    source = Source("record", "measurements", "metadata", "context")
    write_recordings(source, recorded)
    source.write("return")
    return source.build()


def write_recordings(source: Source, recorded: Iterable[Recorded]) -> None:
    """Write what `recorder` does, in a function that knows `measurements`, `metadata` and `context`."""
    recorded = tuple(recorded)
    if any(one.add_weighted for one in recorded):
        source.write(f"weight = metadata.get({WEIGHT!r})")
    found: dict[object, str] = {}
    for one in recorded:
        if one.recording.when:
            with source.block(
                f"if {source.bind('holds', _condition(one.recording.when))}(measurements, metadata)"
            ):
                _write_recording(source, one, dict(found))
        else:
            _write_recording(source, one, found)


def _write_recording(source: Source, one: Recorded, found: dict[object, str]) -> None:
    """Write one recording.

    Args:
        source: The function.
        one: The recording.
        found: Names of the labels that an earlier recording has found.
    """
    labels = found.get(one.labels.rows)
    if labels is None:
        labels = found[one.labels.rows] = _write_labels(source, one.labels)
    name, scale = one.recording.value, one.recording.scale
    if not name:
        amount = "1" if scale == 1.0 else repr(scale)
        _write_add(source, one, amount, labels)
        return
    source.write(f"value = measurements.get({name!r})")
    with source.block("if value.__class__ is not int and value.__class__ is not float"):
        source.write(f"value = number(metadata.get({name!r}) if value is None else value)", number=number)
    with source.block("if value is not None"):
        _write_add(source, one, "value" if scale == 1.0 else f"value * {scale!r}", labels)


def _write_labels(source: Source, labels: LabelSet) -> str:
    name = source.name("labels")
    known, find = source.bind("known", labels.known), source.bind("find", labels.find)
    values = "".join(f"metadata.get({key!r})," for key in labels.names)
    # Looking up what cannot be hashed, such as a list, is a TypeError.
    source.write(
        f"""
        values = ({values})
        try:
            {name} = {known}[values]
        except (KeyError, TypeError):
            {name} = {find}(values, measurements)
        """
    )
    return name


def _write_add(source: Source, one: Recorded, amount: str, labels: str) -> None:
    add = source.bind("add", one.add)
    if one.add_weighted is None:
        source.write(f"{add}({amount}, {labels}, context)")
        return
    source.write(
        f"""
        if weight is None:
            {add}({amount}, {labels}, context)
        else:
            {source.bind("add_weighted", one.add_weighted)}({amount}, {labels}, context, weight)
        """
    )


def _condition(when: Mapping[str, Scalar]) -> Callable[[Mapping[str, Any], Mapping[str, Any]], bool]:
    def holds(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
        for name, wanted in when.items():
            value = metadata.get(name, measurements.get(name))
            if value != wanted and (value is None or text(value) != text(wanted)):
                return False
        return True

    return holds


def _observe_hits(_options: CallbackOptions) -> list[Observation]:
    return [Observation(count, {"rule": rule}) for rule, count in hits().items()]


def _make(meter: Meter, metric: Metric) -> Add:
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


def _multiplied(add: Add) -> AddWeighted:
    def add_weighted(amount: float, labels: Any, context: Any, weight: float) -> None:  # noqa: ANN401 - as Add
        add(amount * weight, labels, context)

    return add_weighted


def _repeated(add: Add) -> AddWeighted:
    def add_weighted(amount: float, labels: Any, context: Any, weight: float) -> None:  # noqa: ANN401 - as Add
        times = int(weight)
        if random.random() < weight - times:  # noqa: S311 - sampling, not secrecy
            times += 1
        for _ in range(min(times, REPEAT_LIMIT)):
            add(amount, labels, context)

    return add_weighted
