"""Compiles the catalogue into one plan for each bus event.

A plan holds everything that the bridge needs at run time, so that an event is no lookup in the registry.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.semconv.catalogue import Catalogue, Event, Metric, Recording, Span
from assay.telemetry.errors import PlanError


@dataclass(frozen=True, slots=True)
class Record:
    """One way from an event into an instrument.

    Args:
        metric: The instrument.
        recording: Which value, and when.
    """

    metric: Metric
    recording: Recording


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
            plan(recording.event).records.append(Record(metric, recording))
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


def _claim(plan: Plan, span: Span) -> Plan:
    other = plan.opens or plan.closes
    if other is not None and other is not span:
        raise PlanError(
            f"the bus event {plan.name} is a phase of two spans, {other.event} and {span.event}; "
            "name the phases of one of them in the registry so that they differ"
        )
    return plan
