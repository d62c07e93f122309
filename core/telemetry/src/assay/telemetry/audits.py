"""Bus events as records for an audit trail, handed to whoever keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from assay.semconv.catalogue import Attribute, Audit, Event
from assay.telemetry.attributes import CORRELATION_ATTRIBUTE, Extract, extractor
from assay.telemetry.values import text

OUTCOMES = frozenset({"success", "failure", "unknown"})


class Auditor(Protocol):
    """Takes audit records; `assay.audit` has one."""

    def __call__(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> object:
        """Take one record."""
        ...


Write: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], int, "str | None"], None]


def audit_writer(auditor: Auditor, event: Event, audit: Audit) -> Write:
    """Return what writes an event's record; called with measurements, metadata, Unix ns, correlation id.

    An actor that the event does not name is left to the auditor. The body holds the event's other values
    under the names that they have on the bus.
    """
    describe = _describe(audit)
    detail = _detail(event, audit)
    name = event.name

    def write(
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        time_unix_nano: int,
        correlation_id: str | None,
    ) -> None:
        attributes = describe(measurements, metadata)
        if correlation_id is not None:
            attributes[CORRELATION_ATTRIBUTE] = correlation_id
        body: dict[str, Any] = {}
        detail(measurements, metadata, body)
        auditor(name, attributes, body or None, time_unix_nano=time_unix_nano)

    return write


def _describe(audit: Audit) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    outcome_key = audit.outcome[1:-1] if audit.outcome.startswith("{") else None

    def describe(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        outcome = audit.outcome if outcome_key is None else metadata.get(outcome_key)
        attributes: dict[str, Any] = {
            "audit.action": audit.action,
            "audit.outcome": outcome if outcome in OUTCOMES else "unknown",
            "audit.target.type": audit.target_type,
        }
        target = metadata.get(audit.target, measurements.get(audit.target))
        if target is not None:
            attributes["audit.target.id"] = text(target)
        actor = metadata.get(audit.actor) if audit.actor else None
        if actor is not None:
            attributes["audit.actor.id"] = text(actor)
            attributes["audit.actor.type"] = audit.actor_type
        return attributes

    return describe


def _detail(event: Event, audit: Audit) -> Extract:
    told = {audit.target, audit.actor}
    return extractor(
        Attribute(a.name, a.name, a.type, a.measurement, a.source, a.scale, (), a.constant)
        for a in event.attributes
        if a.name not in told
    )
