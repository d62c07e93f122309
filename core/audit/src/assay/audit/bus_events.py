"""Records of the bus's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.audit.record import FIELDS, AuditRecord


def record_of_event(
    event_name: str, attributes: Mapping[str, Any], body: Mapping[str, Any] | None, time_unix_nano: int
) -> AuditRecord:
    """Return the record of a bus event.

    Args:
        event_name: The bus event's name.
        attributes: `audit.*` and any others. The actor type `api` of the seeds becomes `service`, and the
            body keeps the original.
        body: The event's details.
        time_unix_nano: When it happened, in ns since 1970.
    """
    fields: dict[str, Any] = {"action": "", "outcome": ""}
    fields |= {FIELDS[key]: str(value) for key, value in attributes.items() if key in FIELDS}
    details = None if body is None else dict(body)
    if fields.get("actor_type") == "api":
        fields["actor_type"] = "service"
        details = {**(details or {}), "actor_type": "api"}
    return AuditRecord(
        event_name=event_name,
        body=details,
        attributes={key: value for key, value in attributes.items() if key not in FIELDS},
        time_unix_nano=time_unix_nano,
        **fields,
    )
