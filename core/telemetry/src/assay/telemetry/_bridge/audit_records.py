"""Convert bus events to audit records and hand them to the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from opentelemetry.context import Context

from assay.semconv import attributes as names
from assay.semconv.catalogue import Attribute, Audit, Event
from assay.telemetry import bus
from assay.telemetry._acceptance import note_accepted, note_failure
from assay.telemetry._bridge.attributes import Extract, extractor
from assay.telemetry._bridge.conditions import condition
from assay.telemetry._bridge.values import text
from assay.telemetry._otel_context import attach, get_current
from assay.telemetry.correlation import BAGGAGE_KEY as CORRELATION_ATTRIBUTE

AUDIT_HANDLER_ID = "assay.bridge.audit"
OUTCOMES = frozenset({"success", "failure", "unknown"})
ACTOR_TYPE_OF_EVENT = "{actor_type}"
"""The `actor_type` of an audit annotation that reads it from the event; `user` if the event has none."""


class Auditor(Protocol):
    """Accepts audit records; `assay.audit` has one."""

    def __call__(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> object:
        """Accept one record, or raise."""
        ...


WriteRecord: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], int, Context], None]
"""Takes measurements, metadata, the time in Unix ns, and the context that the record belongs to."""


def audit_writer(auditor: Auditor, event: Event, audit: Audit) -> WriteRecord:
    """Return a function that hands an event's record to the auditor.

    An actor that the event does not name is left to the auditor. The body holds the event's other values
    under their bus keys.

    A record that is not accepted is reported as a handler failure and breaks neither the emitter nor the
    span. Inside `fail_closed` the block raises.
    """
    describe = _describer(audit)
    extract_body = _body_extractor(event, audit)
    name, holds = event.name, condition(event.when)

    def write(
        measurements: Mapping[str, Any], metadata: Mapping[str, Any], time_unix_nano: int, context: Context
    ) -> None:
        if not holds(measurements, metadata):
            return
        before = get_current()
        try:
            attributes = describe(measurements, metadata)
            body: dict[str, Any] = {}
            extract_body(measurements, metadata, body)
            attach(
                context
            )  # the record's trace and actor are those of the event, also when its span has ended
            auditor(name, attributes, body or None, time_unix_nano=time_unix_nano)
        except Exception as error:  # noqa: BLE001 - breaks neither the emitter nor the span
            note_failure(error)
            bus.report_failure(AUDIT_HANDLER_ID, name, error)
        else:
            note_accepted()
        finally:
            attach(before)

    return write


def _describer(audit: Audit) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    outcome_key = audit.outcome[1:-1] if audit.outcome.startswith("{") else None

    def describe(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        outcome = audit.outcome if outcome_key is None else metadata.get(outcome_key)
        attributes: dict[str, Any] = {
            names.AUDIT_ACTION: audit.action,
            names.AUDIT_OUTCOME: outcome if outcome in OUTCOMES else "unknown",
            names.AUDIT_TARGET_TYPE: audit.target_type,
        }
        target = metadata.get(audit.target, measurements.get(audit.target))
        if target is not None:
            attributes[names.AUDIT_TARGET_ID] = text(target)
        actor = metadata.get(audit.actor) if audit.actor else None
        if actor is not None:
            attributes[names.AUDIT_ACTOR_ID] = text(actor)
            attributes[names.AUDIT_ACTOR_TYPE] = (
                metadata.get("actor_type", "user")
                if audit.actor_type == ACTOR_TYPE_OF_EVENT
                else audit.actor_type
            )
        client_ip = metadata.get("client_ip")
        if client_ip is not None:
            attributes[names.AUDIT_SOURCE_ID] = text(client_ip)
            attributes[names.AUDIT_SOURCE_TYPE] = "ipv6" if ":" in text(client_ip) else "ipv4"
        if metadata.get("user_agent") is not None:
            attributes[names.USER_AGENT_ORIGINAL] = text(metadata["user_agent"])
        correlation_id = metadata.get("correlation_id")
        if correlation_id is not None:
            attributes[CORRELATION_ATTRIBUTE] = correlation_id
        return attributes

    return describe


def _body_extractor(event: Event, audit: Audit) -> Extract:
    in_attributes = {audit.target, audit.actor}
    return extractor(
        Attribute(a.name, a.name, a.type, a.measurement, a.source, a.scale, (), a.constant)
        for a in event.attributes
        if a.name not in in_attributes
    )
