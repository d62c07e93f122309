"""Who and what caused a run, as Dagster records it in the run's tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster._names import (
    SENSOR_TAG,
    USER_TAG,
    asset_name,
    partition_of_run,
)
from opentelemetry.instrumentation.flowstone.dagster._requester import ACTOR_TAG

from assay.instrumentation import Foreign

SCHEDULE_TAG = "dagster/schedule_name"
TICK_TAG = "dagster/tick"
BACKFILL_TAG = "dagster/backfill"
AUTOMATION_TAGS = ("dagster/from_automation_condition", "dagster/auto_materialize")
RETRY_TAG = "dagster/retry_number"
CODE_LOCATION_TAG = "dagster/code_location"
ASSETS_LIMIT = 100
"""Assets of a run that an event names."""


def cause_of(dagster_run: Foreign) -> dict[str, Any]:
    """Return the metadata that says who and what caused a run, and what it is for."""
    tags = dagster_run.tags
    cause: dict[str, Any] = {
        "schedule": tags.get(SCHEDULE_TAG),
        "sensor": tags.get(SENSOR_TAG),
        "tick_id": tags.get(TICK_TAG),
        "backfill_id": tags.get(BACKFILL_TAG),
        "automation": True if any(tags.get(tag) == "true" for tag in AUTOMATION_TAGS) else None,
        "parent_run_id": dagster_run.parent_run_id,
        "root_run_id": dagster_run.root_run_id,
        "code_location": _code_location(dagster_run),
        "partition": partition_of_run(tags),
        "assets": _assets(dagster_run),
        "retry_number": retry_number_of(tags),
    }
    cause.update(_actor(tags, cause))
    return {key: value for key, value in cause.items() if value is not None}


def retry_number_of(tags: Mapping[str, str]) -> int | None:
    """Return the number of a run that Dagster's daemon has created to retry another; else None."""
    number = tags.get(RETRY_TAG, "")
    return int(number) if number.isdecimal() else None


def _actor(tags: Mapping[str, str], cause: Mapping[str, Any]) -> dict[str, str]:
    """Return the user who requested the run, else what Dagster started it for; empty if unknown."""
    user = tags.get(USER_TAG) or tags.get(ACTOR_TAG)
    if user:
        return {"actor": user, "actor_type": "user"}
    for kind, key in (("backfill", "backfill_id"), ("schedule", "schedule"), ("sensor", "sensor")):
        if cause.get(key):
            return {"actor": f"{kind}:{cause[key]}", "actor_type": "system"}
    if cause.get("automation"):
        return {"actor": "automation_condition", "actor_type": "system"}
    return {}


def _code_location(dagster_run: Foreign) -> str | None:
    location = dagster_run.tags.get(CODE_LOCATION_TAG)
    if location is None and dagster_run.remote_job_origin is not None:
        location = dagster_run.remote_job_origin.repository_origin.code_location_origin.location_name
    return location


def _assets(dagster_run: Foreign) -> list[str] | None:
    selected = dagster_run.asset_selection
    if not selected:
        return None
    return sorted(asset_name(key) for key in selected)[:ASSETS_LIMIT]
