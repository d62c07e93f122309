"""Records as events of OCSF 1.9 (https://schema.ocsf.io), class API Activity (6003)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from assay.semconv import attributes as keys

VERSION = "1.9.0"
_CATEGORY, _CLASS = 6, 6003  # Application Activity, API Activity
_INFORMATIONAL = 1
_OTHER = 99
_ACTIVITIES = {"CREATE": 1, "READ": 2, "UPDATE": 3, "WRITE": 3, "DELETE": 4}
_STATUSES = {"success": 1, "failure": 2}  # else 0, unknown
_UNMAPPED = ("details", "attributes", "resource", "leaf_index", "leaf_hash")
_USER_TYPES = {"user": 1, "system": 3}  # else 99, with the type beside it


def ocsf_event(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record, from `query`, as an OCSF event. What OCSF lacks is in `unmapped`."""
    activity = _ACTIVITIES.get(record["action"].upper(), _OTHER)
    service = record["resource"].get(keys.SERVICE_NAME)
    event: dict[str, Any] = {
        "category_uid": _CATEGORY,
        "class_uid": _CLASS,
        "activity_id": activity,
        "type_uid": _CLASS * 100 + activity,
        "severity_id": _INFORMATIONAL,
        "status_id": _STATUSES.get(record["outcome"], 0),
        "time": _milliseconds(record["happened_at"]),
        "metadata": {
            "version": VERSION,
            "product": {"name": "Assay", "vendor_name": "Assay"},
            "uid": record["id"],
            "event_code": record["event_type"],
            "logged_time": _milliseconds(record["inserted_at"]),
        },
        "actor": {"user": _user(record)},
        "api": {"operation": record["action"]},
        "src_endpoint": _source(record, service),
        "unmapped": {name: record[name] for name in _UNMAPPED},
    }
    if activity == _OTHER:
        event["activity_name"] = record["action"]
    if record["correlation_id"]:
        event["metadata"]["correlation_uid"] = record["correlation_id"]
    if service:
        event["api"]["service"] = {"name": str(service)}
    if record["resource_id"]:
        target = {"uid": record["resource_id"], "type": record["resource_type"]}
        event["resources"] = [{name: value for name, value in target.items() if value}]
    if record["user_agent"]:
        event["http_request"] = {"user_agent": record["user_agent"]}
    return event


def _user(record: dict[str, Any]) -> dict[str, Any]:
    kind = record["actor_type"]
    user = {"uid": record["actor_id"], "type_id": _USER_TYPES.get(kind, _OTHER)}
    return user if kind in _USER_TYPES else {**user, "type": kind}


def _source(record: dict[str, Any], service: object) -> dict[str, str]:
    """Return the source's endpoint: its address, its name, or else the service that emitted the record."""
    if record["client_ip"]:
        return {"ip": record["client_ip"]}
    if record["source_id"]:
        return {"hostname" if record["source_type"] == "hostname" else "name": record["source_id"]}
    return {"svc_name": str(service or "unknown")}


def _milliseconds(moment: str) -> int:
    when = dt.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (when - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) // dt.timedelta(milliseconds=1)
