"""What the registry says, in the form that programs use.

A `Catalogue` is compiled from registry files (`assay.semconv.registry`) or taken ready-made from the
generated module (`assay.semconv.CATALOGUE`). The bridge, the JSON logs and the exporters read it; none of
them reads YAML at run time unless a user brings a registry file of their own.

The bus speaks in short keys (`asset`), as the seed documents do. One `Attribute` joins the three names that
a value has: the key on the bus, which is also its label on a metric, and the attribute on spans and events.
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
        source: Key on the bus where it is not `name`: a `duration_ms` comes from `duration`.
        scale: What the value on the bus is multiplied by: 1e-6 where `duration` (ns) becomes `duration_ms`.
        also: Upstream attributes that get the same value, such as `vcs.repository.name`.
        constant: The value itself, where the event's name says it all and the bus carries nothing.
    """

    key: str
    name: str
    type: str = "string"
    measurement: bool = False
    source: str = ""
    scale: float = 1.0
    also: tuple[str, ...] = ()
    constant: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """How a bus event becomes an audit record; the attributes are those of audit.md.

    Args:
        action: Upper-case verb, such as `APPROVE`.
        outcome: `success`, `failure` or `unknown`; or a bus key in braces (`{outcome}`) that holds one.
        target_type: `audit.target.type`, such as `checkpoint`.
        target: Bus key whose value is `audit.target.id`.
        actor: Bus key whose value is `audit.actor.id`; where the event lacks it, the bridge asks the
            context (`assay.audit.actor`), else the actor is `unknown`.
        actor_type: `user`, `service` or `system` for an actor that the event itself names.
    """

    action: str
    outcome: str
    target_type: str
    target: str
    actor: str | None = None
    actor_type: str = "user"


@dataclass(frozen=True, slots=True)
class CDEventRule:
    """One CDEvent that an event or an ended span becomes.

    Templates are JSON-like values whose strings may hold `{attribute.key}`; a member whose only content is
    an absent attribute is left out. The exporter fills and validates them.

    Args:
        type: CDEvents type without version, such as `taskrun.started`, or a whole custom type
            (`dev.cdeventsx.flowstone-checkpoint.approved.0.1.0`).
        subject: Template of the subject's id.
        content: Template of the subject's content.
        when: Attribute key to value that must be equal for the rule to apply.
        draft: The type belongs to the specification's next version, behind a switch.
        chain: Template of what joins the events of one run into a chain.
    """

    type: str
    subject: str
    content: Mapping[str, Any] = field(default_factory=dict[str, Any])
    when: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    draft: bool = False
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A span that the bus events `<event>.<phase>` open and close.

    Args:
        event: Prefix of the bus events, and the name of the span.
        kind: OpenTelemetry's span kind.
        start: Phase that opens the span.
        stops: Phases that close it well.
        exceptions: Phases that close it with an error.
        attributes: Set when the span starts.
        stop_attributes: Set when it ends.
        cdevents: What the ended span becomes, seen from an exporter.
    """

    event: str
    kind: SpanKind = "internal"
    start: str = "start"
    stops: tuple[str, ...] = ("stop",)
    exceptions: tuple[str, ...] = ("exception",)
    attributes: tuple[Attribute, ...] = ()
    stop_attributes: tuple[Attribute, ...] = ()
    cdevents: tuple[CDEventRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A bus event that becomes a log event of the same name.

    Args:
        name: Name on the bus and `event_name` of the log record. The phases of a span have events of their
            own where they are logged: `flowstone.materialization.start`.
        severity: Severity of the log record.
        body: The message for people.
        log: The seed's `event` field in JSON logs, such as `materialization_start`; empty: the name.
        attributes: What the log record carries.
        audit: The audit record, if the event is one.
        topics: Live-stream topics; a `{key}` is replaced by the bus value of that key.
        cdevents: The CDEvents that the log event becomes.
    """

    name: str
    severity: Severity = "info"
    body: str = ""
    log: str = ""
    attributes: tuple[Attribute, ...] = ()
    audit: Audit | None = None
    topics: tuple[str, ...] = ()
    cdevents: tuple[CDEventRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """One way into an instrument.

    Args:
        event: Bus event that is recorded (for a span, one phase: `flowstone.materialization.stop`).
        value: Measurement or metadata key whose number is recorded; empty: 1.
        scale: What the number is multiplied by: 1e-6 from the bus's nanoseconds to milliseconds. A boolean
            is recorded as 1 or 0.
        defaults: Label name to the value it has when the event carries none.
        when: Bus key to the value that it must have for this event to be recorded.
    """

    event: str
    value: str = ""
    scale: float = 1.0
    defaults: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    when: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument, and what is recorded in it.

    Args:
        name: Instrument name, such as `flowstone.materialization.duration`.
        instrument: Kind of instrument.
        unit: UCUM unit, such as `ms` or `{materialization}`.
        description: One line for `# HELP`.
        labels: The labels; `Attribute.name` is the label's name.
        recordings: The bus events that feed it.
        buckets: Upper bounds of the histogram's explicit buckets, in `unit`.
        series: Name of the series on `/metrics`; for a histogram the base name.
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
    """Everything that one registry, or several, define.

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
        """Return both as one; a name that both define is the other's."""
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
    """Return the metric with the recordings of the events that belong to a part, or `None` if it has none."""
    if not metric.recordings:
        return metric if belongs(metric.name) else None
    recordings = tuple(each for each in metric.recordings if belongs(each.event))
    return replace(metric, recordings=recordings) if recordings else None
