"""The registry's content in the form that programs use.

A `Catalogue` is compiled from registry files (`assay.semconv.registry`), or comes ready-made from the
generated module (`assay.semconv.CATALOGUE`). The bridge, the JSON logs and the exporters read it. None of
them reads YAML at run time, unless a user brings a registry file.

The bus uses short keys (`asset`), as the seed documents do. An `Attribute` joins the three names of a value:
its key on the bus, its label on metrics (the same short name), and its attribute on spans and events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Scalar = str | int | float | bool
SpanKind = Literal["internal", "client", "server", "producer", "consumer"]
Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]
Severity = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One value that an event carries, under each of its names.

    Args:
        key: Attribute on spans, log events and audit records, such as `flowstone.asset`.
        name: Key in the bus event's metadata (or measurements), and label on metrics, such as `asset`.
        type: The registry's type: `string`, `int`, `double`, `boolean`, or one of them with `[]`. An enum
            has the type of its members.
        measurement: The bus carries the value among the measurements, not in the metadata.
        source: Key on the bus, if it is not `name`: a `duration_ms` comes from `duration`.
        scale: Factor for the value on the bus: 1e-6 turns `duration` (ns) into `duration_ms`.
        also: Upstream attributes that get the same value, such as `vcs.repository.name`.
        constant: The value itself, if the event's name determines it and the bus carries nothing.
        optional: A label that is left out if the event lacks the value; other labels are then `unknown`.
    """

    key: str
    name: str
    type: str = "string"
    measurement: bool = False
    source: str = ""
    scale: float = 1.0
    also: tuple[str, ...] = ()
    constant: Scalar | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Audit:
    """How a bus event becomes an audit record.

    Args:
        action: `audit.action`: an upper-case verb, such as `APPROVE`.
        outcome: `audit.outcome`: `success`, `failure` or `unknown`; or a bus key in braces (`{outcome}`)
            whose value is one of these.
        target_type: `audit.target.type`, such as `checkpoint`.
        target: Bus key whose value is `audit.target.id`.
        actor: Bus key whose value is `audit.actor.id`. If the event lacks it, the actor of the context
            (`assay.audit.actor`) is used, else the default actor.
        actor_type: `audit.actor.type` of an actor that the event names: `user`, `service` or `system`, or
            `{actor_type}`, which reads it from the event.
    """

    action: str
    outcome: str
    target_type: str
    target: str
    actor: str | None = None
    actor_type: str = "user"


@dataclass(frozen=True, slots=True)
class CDEventRule:
    """A rule that turns a log event or an ended span into one CDEvent.

    Templates are JSON-like values whose strings may contain `{attribute.key}`. The exporter fills them and
    validates the result. A member that contains only an absent attribute is left out.

    Args:
        type: CDEvents type without version, such as `taskrun.started`, or a complete custom type
            (`dev.cdeventsx.flowstone-checkpoint.approved.0.1.0`).
        subject: Template of the subject's id.
        content: Template of the subject's content.
        when: The values that attributes must have for the rule to apply, by attribute key.
        draft: The type belongs to the specification's next version; the exporter sends it only if enabled.
        chain: Template of the key that joins the events of one run into a chain.
        legacy: A type that CDEvents does not define, such as `dev.cdevents.deployment.started`. If enabled,
            the exporter sends the event with this type too.
    """

    type: str
    subject: str
    content: Mapping[str, Any] = field(default_factory=dict[str, Any])
    when: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    draft: bool = False
    chain: str = ""
    legacy: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of the live stream on which an event is published, and the message that subscribers get.

    Args:
        topic: Name of the topic; `{key}` is replaced by the bus value of that key, as in `queue:{queue_id}`.
        message: Name of the message, such as `label_submitted`; empty: the event's name.
        payload: Bus keys of the message's values, in order; `timestamp` is the time of the event. Empty: all
            of the event's attributes.
        constants: Values of the message that the bus does not carry, by payload key.
    """

    topic: str
    message: str = ""
    payload: tuple[str, ...] = ()
    constants: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])


@dataclass(frozen=True, slots=True)
class Span:
    """A span that the bus events `<event>.<phase>` start and end.

    Args:
        event: Prefix of the bus events.
        name: Template of the span's name, with bus keys in braces, such as `RUN {job}`; empty: `event` is the
            name. The bridge leaves out a key that the event lacks, with the spaces before it; if nothing is
            left, `event` is the name. With a template it sets the attribute `assay.span.event` to `event`.
        kind: OpenTelemetry's span kind.
        start: Phase that starts the span.
        stops: Phases that end it without an error.
        exceptions: Phases that end it with an error.
        attributes: Set when the span starts.
        stop_attributes: Set when it ends, by whichever phase.
        phase_attributes: Constants set when this phase ends it, by phase.
        cdevents: CDEvents that an exporter makes of the ended span.
    """

    event: str
    name: str = ""
    kind: SpanKind = "internal"
    start: str = "start"
    stops: tuple[str, ...] = ("stop",)
    exceptions: tuple[str, ...] = ("exception",)
    attributes: tuple[Attribute, ...] = ()
    stop_attributes: tuple[Attribute, ...] = ()
    phase_attributes: Mapping[str, tuple[Attribute, ...]] = field(
        default_factory=dict[str, tuple[Attribute, ...]]
    )
    cdevents: tuple[CDEventRule, ...] = ()

    @property
    def phases(self) -> tuple[str, ...]:
        """All phases: the one that starts the span, then those that end it."""
        return (self.start, *self.stops, *self.exceptions)

    def set_at(self, phase: str) -> tuple[Attribute, ...]:
        """Return the attributes that are set when a phase starts or ends the span."""
        if phase == self.start:
            return self.attributes
        return (*self.stop_attributes, *self.phase_attributes.get(phase, ()))


@dataclass(frozen=True, slots=True)
class Event:
    """A bus event that becomes a log event of the same name.

    Args:
        name: Name on the bus and `event_name` of the log record. A phase of a span may have an event of its
            own: `flowstone.materialization.start`.
        severity: Severity of the log record.
        body: Message for people.
        log: The seed's `event` field in JSON logs, such as `materialization_start`; empty: the name.
        when: The values that bus keys must have for the bus event to become a log event, an audit record and
            messages, by bus key.
        attributes: Attributes of the log record.
        audit: The audit record, if the event is audited.
        topics: Topics of the live stream on which it is published.
        cdevents: CDEvents that an exporter makes of the log event.
    """

    name: str
    severity: Severity = "info"
    body: str = ""
    log: str = ""
    when: Mapping[str, Scalar | None] = field(default_factory=dict[str, Scalar | None])
    attributes: tuple[Attribute, ...] = ()
    audit: Audit | None = None
    topics: tuple[Topic, ...] = ()
    cdevents: tuple[CDEventRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """A bus event that is recorded in an instrument.

    Args:
        event: The bus event (for a span, one of its phases: `flowstone.materialization.stop`).
        value: Key of the measurement (or metadata) that is recorded; empty: 1 is recorded.
        scale: Factor for the value: 1e-6 from the bus's nanoseconds to milliseconds. A boolean is recorded as
            1 or 0.
        defaults: Values of labels that the event lacks, by label name.
        when: The values that bus keys must have for the event to be recorded, by bus key; None: the event
            must not carry the key.
    """

    event: str
    value: str = ""
    scale: float = 1.0
    defaults: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    when: Mapping[str, Scalar | None] = field(default_factory=dict[str, Scalar | None])


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument, and the bus events that are recorded in it.

    Args:
        name: Name of the instrument, such as `flowstone.materialization.duration`.
        instrument: Its kind.
        unit: UCUM unit, such as `ms` or `{materialization}`.
        description: One line for `# HELP`.
        labels: The labels; `Attribute.name` is the label's name.
        recordings: The bus events that are recorded. None: the program itself records in the instrument.
        buckets: Upper bounds of the histogram's explicit buckets, in `unit`.
        series: Name of the series on `/metrics`; of a histogram the base name.
    """

    name: str
    instrument: Instrument
    unit: str
    description: str = ""
    labels: tuple[Attribute, ...] = ()
    recordings: tuple[Recording, ...] = ()
    buckets: tuple[float, ...] = ()
    series: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The definitions of one or several registries.

    Args:
        attributes: By attribute key.
        spans: By bus event prefix.
        events: By event name.
        metrics: By instrument name.
    """

    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])
    events: Mapping[str, Event] = field(default_factory=dict[str, Event])
    metrics: Mapping[str, Metric] = field(default_factory=dict[str, Metric])

    def merged(self, other: Catalogue) -> Catalogue:
        """Return both as one; of a name that both define, the other's definition counts."""
        return Catalogue(
            attributes={**self.attributes, **other.attributes},
            spans={**self.spans, **other.spans},
            events={**self.events, **other.events},
            metrics={**self.metrics, **other.metrics},
        )

    def of(self, *subsystems: str) -> Catalogue:
        """Return the part of the catalogue that concerns the bus events of some subsystems.

        The part holds their spans and events, and each metric that records at least one of their events, with
        the recordings of their events only. So `of` and `without` the same subsystems divide the recordings
        between them, also those of a metric that several subsystems feed. A metric that no bus event feeds
        belongs to the subsystem of its own name. Attributes are vocabulary: every part holds them all.

        Args:
            subsystems: First segments of names, such as `flowstone`.
        """
        return self._part(lambda name: _subsystem(name) in subsystems)

    def without(self, *subsystems: str) -> Catalogue:
        """Return the part of the catalogue that `of` the same subsystems leaves."""
        return self._part(lambda name: _subsystem(name) not in subsystems)

    def _part(self, belongs: Callable[[str], bool]) -> Catalogue:
        return Catalogue(
            attributes=self.attributes,
            spans={name: span for name, span in self.spans.items() if belongs(name)},
            events={name: event for name, event in self.events.items() if belongs(name)},
            metrics={
                name: part
                for name, metric in self.metrics.items()
                if (part := _metric_part(metric, belongs)) is not None
            },
        )


def _subsystem(name: str) -> str:
    return name.partition(".")[0]


def _metric_part(metric: Metric, belongs: Callable[[str], bool]) -> Metric | None:
    """Return the metric with the recordings of the events that belong to a part, or None if it has none."""
    if not metric.recordings:
        return metric if belongs(metric.name) else None
    recordings = tuple(each for each in metric.recordings if belongs(each.event))
    return replace(metric, recordings=recordings) if recordings else None
