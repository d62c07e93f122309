"""Compile a catalogue into one plan for each bus event, so that the bridge needs no look-up at run time."""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.semconv.catalogue import Catalogue, Event, Metric, Recording, Span
from assay.telemetry.errors import PlanError


@dataclass(frozen=True, slots=True)
class MetricRecording:
    """One way from an event into an instrument.

    Args:
        metric: The instrument.
        recording: Which value is recorded, and when.
    """

    metric: Metric
    recording: Recording


@dataclass(slots=True)
class Plan:
    """The signals that one bus event causes.

    Args:
        name: The bus event.
        starts: The span that it starts.
        ends: The span that it ends.
        phase: The last part of its name, if it starts or ends a span.
        recordings: The measurements that it makes.
        log: The log event that it becomes.
    """

    name: str
    starts: Span | None = None
    ends: Span | None = None
    phase: str = ""
    recordings: list[MetricRecording] = field(default_factory=list[MetricRecording])
    log: Event | None = None


def compile_plans(catalogue: Catalogue) -> dict[str, Plan]:
    """Return a plan for each bus event that causes a signal.

    Raises:
        PlanError: Two spans claim one bus event.
    """
    plans: dict[str, Plan] = {}

    def plan(name: str) -> Plan:
        return plans.setdefault(name, Plan(name))

    for span in catalogue.spans.values():
        _claim(plan(f"{span.event}.{span.start}"), span).starts = span
        for phase in (*span.stops, *span.exceptions):
            _claim(plan(f"{span.event}.{phase}"), span).ends = span
        for phase in span.phases:
            plan(f"{span.event}.{phase}").phase = phase
    for event in catalogue.events.values():
        plan(event.name).log = event
    for metric in catalogue.metrics.values():
        for recording in metric.recordings:
            plan(recording.event).recordings.append(MetricRecording(metric, recording))
    return plans


def exempt_events(catalogue: Catalogue) -> frozenset[str]:
    """Return the bus events that are neither sampled nor limited: errors, audited events, failures of spans.

    If one phase of a span is audited, all its phases are exempt, so that every started span ends.
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


def span_of_phases(catalogue: Catalogue) -> dict[str, str]:
    """Return the span of which a bus event is a phase, by bus event."""
    return {
        f"{span.event}.{phase}": span.event
        for span in catalogue.spans.values()
        for phase in (span.start, *span.stops, *span.exceptions)
    }


def start_events(catalogue: Catalogue) -> frozenset[str]:
    """Return the bus events that start a span."""
    return frozenset(f"{span.event}.{span.start}" for span in catalogue.spans.values())


def _claim(plan: Plan, span: Span) -> Plan:
    other = plan.starts or plan.ends
    if other is not None and other is not span:
        raise PlanError(
            f"the bus event {plan.name} is a phase of two spans, {other.event} and {span.event}; "
            "name the phases of one of them in the registry so that they differ"
        )
    return plan
