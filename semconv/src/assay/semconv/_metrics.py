"""Compiles metrics, and checks that the recorded events carry what each metric reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from assay.semconv import _grammar
from assay.semconv._attributes import Attributes
from assay.semconv._document import Node
from assay.semconv._errors import nearest
from assay.semconv._grammar import assay_annotations
from assay.semconv.catalogue import Attribute, Event, Metric, Recording, Span
from assay.semconv.prometheus import series_name

_DURATION = "duration"
"""Measurement that the bus adds at the end of every span."""
_OF_EXCEPTIONS = (
    Attribute(key="exception.kind", name="kind"),
    Attribute(key="exception.reason", name="reason"),
)
"""Attributes that the bus adds to a phase that ends a span with an error."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A recording, its place in the file, and the attributes that its event carries."""

    node: Node
    recording: Recording
    attributes: tuple[Attribute, ...]


class Metrics:
    """Compiles the metrics of a registry.

    Args:
        attributes: Resolves their labels.
        spans: The spans whose phases they may record.
        events: The events that they may record.
    """

    def __init__(
        self, attributes: Attributes, spans: Mapping[str, Span], events: Mapping[str, Event]
    ) -> None:
        self._attributes = attributes
        self._spans = spans
        self._events = events

    def compile(self, definitions: Mapping[str, Node]) -> dict[str, Metric]:
        """Return the metrics by name.

        Raises:
            RegistryError: A definition contradicts itself, or reads a key that its events lack.
        """
        return {name: self._metric(name, node) for name, node in definitions.items()}

    def _metric(self, name: str, node: Node) -> Metric:
        own = assay_annotations(node)
        labels = self._attributes.of(name, node)
        if own.get("labels") == "keys":
            labels = [(reference, _as_upstream(reference, label)) for reference, label in labels]
        recorded = [self._recorded(name, each) for each in own.items("record")]
        for each in recorded:
            _check_recording(name, each, {label.name for _, label in labels})
        instrument = node["instrument"].value
        return Metric(
            name=name,
            instrument=instrument,
            unit=node["unit"].value,
            description=node["brief"].value.strip(),
            labels=tuple(_label(name, reference, label, recorded) for reference, label in labels),
            recordings=tuple(_with_constants(each, labels) for each in recorded),
            buckets=_buckets(name, own, instrument),
            series=_series(name, node, own),
        )

    def _recorded(self, name: str, node: Node) -> _Recorded:
        node.check(f"a recording of `{name}`", _grammar.RECORD)
        return _Recorded(node, Recording(**node.plain()), self._carried(node["event"]))

    def _carried(self, event: Node) -> tuple[Attribute, ...]:
        """Return the attributes of a bus event: those of its log event and of the span whose phase it is."""
        name: str = event.value
        found: tuple[Attribute, ...] = ()
        prefix, _, phase = name.rpartition(".")
        span = self._spans.get(prefix)
        is_phase = span is not None and phase in span.phases
        if name in self._events:
            found += self._events[name].attributes
        if span is not None and is_phase:
            found += span.attributes if phase == span.start else (*span.attributes, *span.set_at(phase))
            found += _OF_EXCEPTIONS if phase in span.exceptions else ()
        if name in self._events or is_phase:
            return found
        known = {*self._events}
        for each in self._spans.values():
            known.update(f"{each.event}.{phase}" for phase in each.phases)
        raise event.error(f"unknown event `{name}`", nearest(name, known) or "define it under `events:`")


def _series(name: str, node: Node, own: Node) -> str:
    unit = node["unit"]
    if not unit.value.strip():
        raise unit.error(f"metric `{name}` has no unit", "give a UCUM unit, such as `ms` or `{item}`")
    series = series_name(name, unit.value, node["instrument"].value)
    if "series" in own and own["series"].value != series:
        problem = f"`{name}` cannot appear as `{own['series'].value}`: name, unit and kind make it `{series}`"
        raise own["series"].error(problem, "change the name or the unit, or leave `series` out")
    return series


def _as_upstream(reference: Node, label: Attribute) -> Attribute:
    """Return a label of one of OpenTelemetry's metrics: named by its key, absent if it does not apply."""
    return replace(label, name=label.key, optional=reference.get("requirement_level") != "required")


def _same(label: Attribute, attributes: tuple[Attribute, ...]) -> Attribute | None:
    """Return the carried attribute that gives a label its value: by the label's `source`, if it has one."""
    for each in attributes:
        if label.source and label.source == (each.source or each.name):
            return each
    for each in attributes:
        if label.name in (each.name, each.key, *each.also):
            return each
    return None


def _label(metric: str, reference: Node, label: Attribute, recorded: list[_Recorded]) -> Attribute:
    """Return the label with its key on the bus; raise if an event does not carry it."""
    sources: set[tuple[str, bool, float]] = set()
    for each in recorded:
        same = _same(label, each.attributes)
        if same is None and (label.optional or label.name in each.recording.defaults):
            continue
        if same is None:
            names = {attribute.name for attribute in each.attributes}
            has = ", ".join(sorted(names))
            remedy = nearest(label.name, names) or f"add it to the event, or remove the label; it has: {has}"
            event = each.recording.event
            problem = f"`{event}` does not carry the label `{label.name}` of `{metric}`, which records it"
            raise reference.error(problem, remedy)
        if same.constant is None:
            source = same.source if same.name == label.name else same.source or same.name
            sources.add((source, same.measurement, same.scale))
    if len(sources) > 1:
        raise reference.error(
            f"label `{label.name}` of `{metric}` has several keys on the bus",
            "give it the same key in each event",
        )
    for source, measurement, scale in sources:
        return replace(label, source=source, measurement=measurement, scale=scale)
    return label


def _check_recording(metric: str, recorded: _Recorded, labels: set[str]) -> None:
    """Raise if a recording reads what its event lacks, or names a label that the metric lacks."""
    node, recording = recorded.node, recorded.recording
    keys = {_DURATION}
    keys |= {key for each in recorded.attributes for key in (each.name, each.source) if key}
    read = [("when", key) for key in recording.when]
    if recording.value:
        read.append(("value", recording.value))
    for part, key in read:
        if key not in keys:
            problem = f"`{part}` of a recording of `{metric}` reads what `{recording.event}` lacks: `{key}`"
            raise node[part].error(problem, nearest(key, keys) or f"it has: {', '.join(sorted(keys))}")
    for key in recording.defaults:
        if key not in labels:
            problem = f"`defaults` of a recording of `{metric}` names a label that it lacks: `{key}`"
            remedy = nearest(key, labels) or f"it has: {', '.join(sorted(labels))}"
            raise node["defaults"].error(problem, remedy)


def _with_constants(recorded: _Recorded, labels: list[tuple[Node, Attribute]]) -> Recording:
    """Return the recording with the labels whose value the event's name determines."""
    recording = recorded.recording
    constants = {
        label.name: same.constant
        for _, label in labels
        if (same := _same(label, recorded.attributes)) is not None and same.constant is not None
    }
    return replace(recording, defaults={**constants, **recording.defaults}) if constants else recording


def _buckets(name: str, own: Node, instrument: str) -> tuple[float, ...]:
    bounds: list[float] = []
    for node in own.items("buckets"):
        node.expect(f"a bucket of `{name}`", float)
        if bounds and node.value <= bounds[-1]:
            raise node.error(f"the buckets of `{name}` do not rise at `{node.value}`", "sort them")
        bounds.append(float(node.value))
    if bounds and instrument != "histogram":
        raise own["buckets"].error(f"`{name}` is a {instrument} and has buckets", "only a histogram has them")
    return tuple(bounds)
