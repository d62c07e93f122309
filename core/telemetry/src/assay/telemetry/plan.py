"""Compiles the catalogue into one plan for each bus event.

A plan holds everything that the bridge needs at run time, so that an event is no lookup in the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute, Catalogue, Event, Metric, Recording, Span
from assay.telemetry.errors import PlanError
from assay.telemetry.redaction import are_known_texts
from assay.telemetry.values import Converter, converter, number, text

Extract: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], dict[str, Any]], None]
"""Takes measurements and metadata; adds attributes to the third."""
Value: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], "int | float | None"]
Labels: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]

UNKNOWN = "unknown"
"""The label of an event that lacks one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One way from an event into an instrument.

    Args:
        metric: The instrument.
        value: Returns the number to record, or None if the event has none.
        labels: Returns the instrument's labels.
        constant: The number, where it is always the same.
    """

    metric: Metric
    value: Value
    labels: Labels
    constant: float | None = None


@dataclass(slots=True)
class Plan:
    """What becomes of one bus event.

    Args:
        name: The bus event.
        opens: The span that it starts.
        closes: The span that it ends.
        is_failure: It ends the span with an error.
        records: What it adds to instruments.
        log: The log event that it becomes.
    """

    name: str
    opens: Span | None = None
    closes: Span | None = None
    is_failure: bool = False
    records: list[Record] = field(default_factory=list[Record])
    log: Event | None = None


def compile_plans(catalogue: Catalogue) -> dict[str, Plan]:
    """Return a plan for each bus event that the catalogue makes something of.

    Raises:
        PlanError: Two spans claim one bus event.
    """
    plans: dict[str, Plan] = {}

    def plan(name: str) -> Plan:
        return plans.setdefault(name, Plan(name))

    for span in catalogue.spans.values():
        _claim(plan(f"{span.event}.{span.start}"), span).opens = span
        for phase in (*span.stops, *span.exceptions):
            _claim(plan(f"{span.event}.{phase}"), span).closes = span
        for phase in span.exceptions:
            plan(f"{span.event}.{phase}").is_failure = True
    for event in catalogue.events.values():
        plan(event.name).log = event
    for metric in catalogue.metrics.values():
        for recording in metric.recordings:
            plan(recording.event).records.append(_record(metric, recording))
    return plans


def exempt_events(catalogue: Catalogue) -> frozenset[str]:
    """Return the bus events that are neither sampled nor limited: errors, audited ones, a span's failures.

    A span of which one phase is audited is exempt with all its phases, so that what was opened is closed.
    """
    exempt = {
        event.name
        for event in catalogue.events.values()
        if event.audit is not None or event.severity in {"error", "critical"}
    }
    for span in catalogue.spans.values():
        regular = {f"{span.event}.{phase}" for phase in (span.start, *span.stops)}
        exempt.update(f"{span.event}.{phase}" for phase in span.exceptions)
        if regular & exempt:
            exempt |= regular
    return frozenset(exempt)


def phases(catalogue: Catalogue) -> dict[str, str]:
    """Return, by bus event, the span of which it is a phase."""
    return {
        f"{span.event}.{phase}": span.event
        for span in catalogue.spans.values()
        for phase in (span.start, *span.stops, *span.exceptions)
    }


def extractor(attributes: Iterable[Attribute]) -> Extract:
    """Return what reads these attributes from an event. What the event lacks, or has as None, is left out."""
    wanted = tuple(attributes)
    constants = tuple((key, a.constant) for a in wanted if a.constant is not None for key in (a.key, *a.also))
    read = tuple(a for a in wanted if a.constant is None)
    rows = tuple(row for a in read if not a.measurement for row in _rows(a))
    measured = tuple(row for a in read if a.measurement for row in _rows(a))
    names, keys = tuple(row[0] for row in rows), tuple(row[1] for row in rows)

    def extract(measurements: Mapping[str, Any], metadata: Mapping[str, Any], into: dict[str, Any]) -> None:
        values = tuple(map(metadata.get, names))
        if are_known_texts(values):
            into.update(zip(keys, values))  # noqa: B905 - made of the same rows
        else:
            for (_, key, _, convert), value in zip(rows, values):  # noqa: B905 - as above
                if value is not None:
                    into[key] = convert(value)
        for name, key, scale, convert in measured:
            value = measurements.get(name)
            if value is None:
                value = metadata.get(name)  # an operation's handle has room for both
            if scale is not None and isinstance(value, int):
                into[key] = value * scale
            elif value is not None:
                into[key] = convert(value)
        if constants:
            into.update(constants)

    return extract


def _rows(attribute: Attribute) -> Iterator[tuple[str, str, float | None, Converter]]:
    """Yield the name on the bus, each key, the factor of a plain scaled double, and the converter."""
    scale = attribute.scale if attribute.type == "double" and attribute.scale != 1.0 else None
    for key in (attribute.key, *attribute.also):
        yield attribute.source or attribute.name, key, scale, converter(attribute)


def _claim(plan: Plan, span: Span) -> Plan:
    other = plan.opens or plan.closes
    if other is not None and other is not span:
        raise PlanError(
            f"the bus event {plan.name} is a phase of two spans, {other.event} and {span.event}; "
            "name the phases of one of them in the registry so that they differ"
        )
    return plan


def _record(metric: Metric, recording: Recording) -> Record:
    constant = None if recording.value or recording.when else recording.scale
    if constant == 1:
        constant = 1  # counts stay integers
    return Record(metric, _value(recording), _labels(metric, recording), constant)


def _value(recording: Recording) -> Value:
    read = _measured(recording.value, recording.scale) if recording.value else _constant(recording.scale)
    when = tuple(recording.when.items())
    if not when:
        return read

    def conditional(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> int | float | None:
        for name, wanted in when:
            value = metadata.get(name, measurements.get(name))
            if value != wanted and (value is None or text(value) != text(wanted)):
                return None
        return read(measurements, metadata)

    return conditional


def _constant(scale: float) -> Value:
    amount = 1 if scale == 1.0 else scale

    def read(_measurements: Mapping[str, Any], _metadata: Mapping[str, Any]) -> int | float | None:
        return amount

    return read


def _measured(key: str, scale: float) -> Value:
    def read(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> int | float | None:
        value = measurements.get(key)
        if value is None:
            value = metadata.get(key)
            if value is None:
                return None
        if value.__class__ is not int and value.__class__ is not float:
            value = number(value)
            if value is None:
                return None
        return value if scale == 1.0 else value * scale

    return read


def _labels(metric: Metric, recording: Recording) -> Labels:
    rows: tuple[tuple[str, str, bool, Converter, Any], ...] = tuple(
        (
            a.name,
            a.source or a.name,
            a.measurement,
            text if a.type in {"string", "boolean"} else converter(a),
            _default(a, recording),
        )
        for a in metric.labels
    )

    keys, names = tuple(row[0] for row in rows), tuple(row[1] for row in rows)

    def labels(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        values = tuple(map(metadata.get, names))
        if are_known_texts(values):
            return dict(zip(keys, values))  # noqa: B905 - made of the same rows
        found: dict[str, Any] = {}
        for (label, name, is_measurement, convert, default), known in zip(rows, values):  # noqa: B905 - as above
            value = measurements.get(name) if known is None and is_measurement else known
            found[label] = default if value is None else convert(value)
        return found

    return labels


def _default(label: Attribute, recording: Recording) -> Any:  # noqa: ANN401 - a label's value
    value = recording.defaults.get(label.name, label.constant)
    if value is None:
        return UNKNOWN
    return text(value) if isinstance(value, bool) else value
