"""The remaining facts of Dagster's event log: observations, skipped steps, expectations, hooks, freshness.

Each report returns the metadata of one bus event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._event_log import Report, Stored
from opentelemetry.instrumentation.flowstone.dagster._failures import failure_of_event, failure_of_info
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name
from opentelemetry.instrumentation.flowstone.dagster._requester import requester

from assay.telemetry import execute

_HOOK_NAME = re.compile(r'hook "([^"]+)"')


def reports() -> Mapping[str, Report]:
    """Return the reports, by the type of event."""
    return {kind: _report(event, describe) for kind, (event, describe) in _EVENTS.items()}


def _report(event: str, describe: Callable[[Stored], Mapping[str, Any]]) -> Report:
    def report(stored: Stored) -> None:
        step = {"run_id": stored.run_id or None, "step_key": stored.step_key or None}
        execute(event, None, described(**step, **describe(stored)))

    return report


def _observation(stored: Stored) -> Mapping[str, Any]:
    return {"asset": asset_name(stored.event.asset_key), "partition": stored.event.partition}


def _failed_to_materialize(stored: Stored) -> Mapping[str, Any]:
    failed = stored.event.event_specific_data
    described_failure = {
        **_observation(stored),
        "failure_kind": failed.failure_type.value,
        "reason": failed.reason.value,
    }
    if failed.error is None:
        return described_failure
    error = failure_of_info(failed.error)
    return {**described_failure, "error_type": error.type, "error_message": error.message}


def _freshness(stored: Stored) -> Mapping[str, Any]:
    change = stored.event.event_specific_data
    return {
        "asset": asset_name(change.key),
        "freshness": change.new_state.value,
        "previous_freshness": change.previous_state.value,
    }


def _wiped(stored: Stored) -> Mapping[str, Any]:
    return {"asset": asset_name(stored.event.event_specific_data.asset_key), **requester()}


def _skipped(stored: Stored) -> Mapping[str, Any]:
    return {"job": stored.job}


def _expectation(stored: Stored) -> Mapping[str, Any]:
    result = stored.event.event_specific_data.expectation_result
    return {"expectation": result.label, "passed": result.success}


def _hook(stored: Stored) -> Mapping[str, Any]:
    # Dagster records the hook's name in the message only.
    named = _HOOK_NAME.search(stored.event.message or "")
    return {"hook": named.group(1) if named else None}


def _hook_error(stored: Stored) -> Mapping[str, Any]:
    failure = failure_of_event(stored.event)
    return {**_hook(stored), "error_type": failure.type, "error_message": failure.message}


_EVENTS: Mapping[str, tuple[str, Callable[[Stored], Mapping[str, Any]]]] = {
    "ASSET_OBSERVATION": ("flowstone.asset.observed", _observation),
    "ASSET_FAILED_TO_MATERIALIZE": ("flowstone.asset.failed_to_materialize", _failed_to_materialize),
    "FRESHNESS_STATE_CHANGE": ("flowstone.asset.freshness_changed", _freshness),
    "ASSET_WIPED": ("flowstone.asset.wiped", _wiped),
    "STEP_SKIPPED": ("flowstone.step.skipped", _skipped),
    "STEP_EXPECTATION_RESULT": ("flowstone.step.expectation", _expectation),
    "HOOK_COMPLETED": ("flowstone.hook.completed", _hook),
    "HOOK_SKIPPED": ("flowstone.hook.skipped", _hook),
    "HOOK_ERRORED": ("flowstone.hook.errored", _hook_error),
}
