"""Create instruments, and generate the code that records an event in them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

from assay.semconv.catalogue import Metric, Recording
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.conditions import condition_head
from assay.telemetry._bridge.labels import Key, LabelSet
from assay.telemetry._bridge.plan import MetricRecording
from assay.telemetry._bridge.scope import Scope
from assay.telemetry._bridge.sums import PENDING_LIMIT, SumInstrument, sum_instruments
from assay.telemetry._bridge.values import number
from assay.telemetry.redaction import hits
from assay.telemetry.sampling import WEIGHT

RecordMeasurements: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], "Context | None"], None]
"""Takes an event's measurements, its metadata, and the context for exemplars."""
Record: TypeAlias = Callable[[Any, Any, Any], None]
"""An instrument's method: takes the amount, the labels and the context."""

REPEAT_LIMIT = 1000
"""How many times a histogram records the value of a sampled event, at most."""
ROW_LIMIT = 1024
"""Label values that are cached for one recording. A registry's labels have few values each."""


@dataclass(frozen=True, slots=True)
class InstrumentRecording:
    """One way from an event into an instrument.

    Args:
        recording: Which value is recorded, and when.
        metric: The instrument's definition.
        labels: The instrument's labels.
        sum: The instrument, if it is a sum.
        record: Records a value, if it is a histogram or a gauge.
    """

    recording: Recording
    metric: Metric
    labels: LabelSet
    sum: SumInstrument | None = None
    record: Record | None = None


class Instruments:
    """The instruments of one bridge; each is created once.

    Args:
        provider: Meter provider; None is the global one.
        scope: The instrumentation scope of the meter.
    """

    def __init__(self, provider: MeterProvider | None, scope: Scope) -> None:
        self._meter = get_meter(scope.name, scope.version, provider, scope.schema_url)
        self._sums = sum_instruments(provider)
        self._records: dict[str, Record] = {}

    def prepare(self, recordings: Iterable[MetricRecording]) -> tuple[InstrumentRecording, ...]:
        """Return an event's recordings with their instruments."""
        return tuple(self._prepare(one.metric, one.recording) for one in recordings)

    def _prepare(self, metric: Metric, recording: Recording) -> InstrumentRecording:
        labels = LabelSet(metric, recording)
        if metric.instrument in {"counter", "updowncounter"}:
            return InstrumentRecording(recording, metric, labels, sum=self._sums.get(self._meter, metric))
        record = self._records.get(metric.name)
        if record is None:
            record = self._records[metric.name] = _create(self._meter, metric)
        return InstrumentRecording(recording, metric, labels, record=record)


class Rows:
    """The series that the recordings of one event with equal labels go to, by the labels' values.

    A row is the labels, followed by the series of each sum.

    Attributes:
        known: Rows by values of the labels' metadata, for values that alone determine the labels.
    """

    def __init__(self, labels: LabelSet, sums: tuple[SumInstrument, ...]) -> None:
        self._labels = labels
        self._sums = sums
        self.known: dict[Key, tuple[Any, ...]] = {}

    def find(self, values: Key, measurements: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the row of an event, and cache it if the values determine it."""
        labels, determined = self._labels.convert(values, measurements)
        row = (labels, *(one.series(labels) for one in self._sums))
        if determined:
            if len(self.known) >= ROW_LIMIT:
                self.known.clear()
            self.known[values] = row
        return row


def recorder(recordings: Iterable[InstrumentRecording]) -> RecordMeasurements:
    """Return a function that records an event's measurements."""
    source = Source("record_measurements", "measurements", "metadata", "context")
    write_recordings(source, recordings)
    source.write("return")
    return source.build()


def write_recordings(source: Source, recordings: Iterable[InstrumentRecording]) -> None:
    """Write the code that records an event's measurements.

    Args:
        source: A function with the variables `measurements`, `metadata` and `context`.
        recordings: The event's recordings.
    """
    source.use("measurements", "metadata", "context")
    groups: dict[object, list[InstrumentRecording]] = {}
    for one in recordings:
        if not math.isfinite(one.recording.scale):
            continue  # no instrument can record it
        groups.setdefault((one.labels.key, tuple(one.recording.when.items())), []).append(one)
    if not groups:
        return
    weight = source.name("weight")
    source.write(f"{weight} = metadata.get({WEIGHT!r})")
    for group in groups.values():
        when = group[0].recording.when
        if when:
            with source.block(condition_head(source, when)):
                _write_group(source, group, weight)
        else:
            _write_group(source, group, weight)


def _write_group(source: Source, group: list[InstrumentRecording], weight: str) -> None:
    """Write the recordings of one set of labels."""
    sums = [one for one in group if one.sum is not None]
    row = _write_row(
        source, Rows(group[0].labels, tuple(one.sum for one in sums if one.sum)), group[0].labels
    )
    for one in group:
        if one.sum is not None:
            _write_sum(source, one, f"{row}[{sums.index(one) + 1}]", weight)
        else:
            _write_record(source, one, f"{row}[0]", weight)


def _write_row(source: Source, rows: Rows, labels: LabelSet) -> str:
    """Write the look-up of the event's row; return its variable."""
    if not labels.names:
        return source.bind("row", rows.find((), {}))
    row, values = source.name("row"), source.name("values")
    known, find = source.bind("known", rows.known), source.bind("find", rows.find)
    keys = "".join(f"metadata.get({key!r})," for key in labels.names)
    # A value that cannot be hashed, such as a list, raises TypeError.
    source.write(
        f"""
        {values} = ({keys})
        try:
            {row} = {known}[{values}]
        except (KeyError, TypeError):
            {row} = {find}({values}, measurements)
        """
    )
    return row


def _write_sum(source: Source, one: InstrumentRecording, series: str, weight: str) -> None:
    pending, scale = source.name("pending"), one.recording.scale

    def write(amount: str) -> None:
        weighted = weight if amount == "1" else f"{amount} * {weight}"
        source.write(
            f"""
            {pending} = {series}.pending
            {pending}.append({amount} if {weight} is None else {weighted})
            if len({pending}) > {PENDING_LIMIT}:
                {series}.fold()
            """
        )

    if not one.recording.value:
        write("1" if scale == 1.0 else source.literal(scale))
        return
    value = _write_value(source, one.recording.value)
    condition = f"{value} is not None"
    if one.metric.instrument == "counter":
        condition += f" and 0 <= {value} < infinity"  # a counter only rises; NaN and inf would stay for ever
    with source.block(f"if {condition}"):
        source.write("", infinity=float("inf"))
        write(value if scale == 1.0 else f"({value} * {source.literal(scale)})")


def _write_record(source: Source, one: InstrumentRecording, labels: str, weight: str) -> None:
    record, scale = source.bind("record", one.record), one.recording.scale

    def write(amount: str) -> None:
        if one.metric.instrument == "gauge":  # its value does not depend on how many events it represents
            source.write(f"{record}({amount}, {labels}, context)")
            return
        source.write(
            f"""
            if {weight} is None:
                {record}({amount}, {labels}, context)
            else:
                record_repeatedly({record}, {amount}, {labels}, context, {weight})
            """,
            record_repeatedly=_record_repeatedly,
        )

    if not one.recording.value:
        write("1" if scale == 1.0 else source.literal(scale))
        return
    value = _write_value(source, one.recording.value)
    with source.block(f"if {value} is not None"):
        write(value if scale == 1.0 else f"{value} * {source.literal(scale)}")


def _write_value(source: Source, key: str) -> str:
    """Write the look-up of a number, among the measurements or in the metadata; return its variable."""
    value = source.name("value")
    source.write(
        f"""
        {value} = measurements.get({key!r})
        if {value}.__class__ is not int and {value}.__class__ is not float:
            {value} = number(metadata.get({key!r}) if {value} is None else {value})
        """,
        number=number,
    )
    return value


def _create(meter: Meter, metric: Metric) -> Record:
    if metric.instrument == "gauge":
        return meter.create_gauge(metric.name, metric.unit, metric.description).set
    return meter.create_histogram(
        metric.name,
        metric.unit,
        metric.description,
        explicit_bucket_boundaries_advisory=list(metric.buckets) or None,
    ).record


def _record_repeatedly(record: Record, amount: float, labels: Any, context: Any, weight: float) -> None:  # noqa: ANN401 - as Record
    """Record a sampled event's value `weight` times, a fraction by chance."""
    times = int(weight)
    if random.random() < weight - times:  # noqa: S311 - sampling
        times += 1
    for _ in range(min(times, REPEAT_LIMIT)):
        record(amount, labels, context)


def create_redaction_hits(provider: MeterProvider | None, scope: Scope) -> None:
    """Create the metric of redacted secrets, once for each provider."""
    get_meter(scope.name, scope.version, provider, scope.schema_url).create_observable_counter(
        "assay.redaction.hits",
        [_observe_hits],
        "{secret}",
        "Secrets redacted from events, by rule.",
    )


def create_trigger(
    event: str, callback: Callable[[], object], provider: MeterProvider | None, scope: Scope
) -> None:
    """Create an instrument that has no points; the SDK calls its callback before it collects."""

    def call(_options: CallbackOptions) -> list[Observation]:
        callback()
        return []

    meter = get_meter(scope.name, scope.version, provider, scope.schema_url)
    meter.create_observable_gauge(event, [call], "1", "Emits an event before each collection.")


def _observe_hits(_options: CallbackOptions) -> list[Observation]:
    return [Observation(count, {"rule": rule}) for rule, count in hits().items()]
