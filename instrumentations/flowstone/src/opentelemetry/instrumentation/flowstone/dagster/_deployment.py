"""Backfills, daemons and code locations: what a deployment records beside its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._cause import ASSETS_LIMIT
from opentelemetry.instrumentation.flowstone.dagster._failures import failure_of_info
from opentelemetry.instrumentation.flowstone.dagster._names import USER_TAG, asset_name
from opentelemetry.instrumentation.flowstone.dagster._pools import REPORTER, report_slots
from opentelemetry.instrumentation.flowstone.dagster._requester import ACTOR_TAG, requester
from opentelemetry.instrumentation.flowstone.errors import error as emit_error

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry import execute

BACKFILLS_LIMIT = 1000
"""Backfills that have started and that a process remembers."""
_OUTCOMES = {
    "COMPLETED": "success",
    "COMPLETED_SUCCESS": "success",
    "COMPLETED_FAILED": "failure",
    "FAILED": "failure",
    "CANCELED": "canceled",
}
"""Outcome of a backfill by Dagster's final status."""


def add_backfill(call: Call) -> Foreign:
    """Wrap `DagsterInstance.add_backfill`, which records that a backfill was requested."""
    result = call()
    _emit_requested(call.argument("partition_backfill"))
    return result


class Backfills:
    """The wrapper of the function with which Dagster records each change of a backfill."""

    def __init__(self) -> None:
        self._started: dict[str, None] = {}

    def update(self, call: Call) -> Foreign:
        """Wrap `DagsterInstance.update_backfill`."""
        backfill = call.argument("partition_backfill")
        is_known = backfill.status.value == "REQUESTED" and backfill.backfill_id in self._started
        before = None if is_known else guarded(call.instance.get_backfill)(backfill.backfill_id)
        result = call()
        if not is_known:
            self._report(before, backfill)
        return result

    @guarded
    def _report(self, before: Foreign, backfill: Foreign) -> None:
        if has_started(backfill):
            if not has_started(before):
                execute("flowstone.backfill.started", None, _describe(backfill))
            if len(self._started) >= BACKFILLS_LIMIT:
                del self._started[next(iter(self._started))]
            self._started[backfill.backfill_id] = None
        if before is not None and before.status is backfill.status:
            return
        if backfill.status.value == "CANCELING":
            execute(
                "flowstone.backfill.canceling", None, {**_describe(backfill, is_asked=False), **requester()}
            )
        elif backfill.status.value in _OUTCOMES:
            _emit_finished(backfill)


def has_started(backfill: Foreign) -> bool:
    """Return whether Dagster has requested runs for a backfill; a backfill has no status for that."""
    if backfill is None:
        return False
    data = backfill.asset_backfill_data
    has_requested = data is not None and data.requested_runs_for_target_roots
    return bool(has_requested or backfill.last_submitted_partition_name)


class Daemons:
    """The heartbeats of Dagster's daemons; a daemon sends its recent errors with each of them."""

    def __init__(self) -> None:
        self._errors: dict[str, set[str]] = {}

    def heartbeat(self, call: Call) -> Foreign:
        """Wrap `DagsterInstance.add_daemon_heartbeat`."""
        result = call()
        heartbeat = call.argument("daemon_heartbeat")
        self._report(heartbeat)
        if heartbeat.daemon_type == REPORTER:
            report_slots(call.instance)
        return result

    @guarded
    def _report(self, heartbeat: Foreign) -> None:
        daemon, errors = str(heartbeat.daemon_type), list(heartbeat.errors or ())
        execute("flowstone.daemon.heartbeat", None, {"daemon": daemon, "healthy": not errors})
        before = self._errors.get(daemon, set())
        self._errors[daemon] = {error.to_string() for error in errors}
        for error in errors:
            if error.to_string() not in before:
                failure = failure_of_info(error)
                emit_error(failure.type, failure.message, origin="daemon", subject=f"daemon:{daemon}")


def load_location(call: Call) -> Foreign:
    """Wrap `WorkspaceProcessContext._load_location`, whose result has the error of a failed location."""
    entry = call()
    _emit_location(call.argument("origin").location_name, entry.load_error)
    return entry


@guarded
def _emit_location(name: str, error: Foreign) -> None:
    if error is None:
        execute("flowstone.code_location.loaded", None, {"code_location": name})
        return
    failure = failure_of_info(error)
    description = {"error_type": failure.type, "error_message": failure.message}
    execute("flowstone.code_location.failed", None, {"code_location": name, **description})
    emit_error(failure.type, failure.message, origin="code_location", subject=f"code_location:{name}")


@guarded
def _emit_requested(backfill: Foreign) -> None:
    execute("flowstone.backfill.requested", None, {**_describe(backfill), **requester()})


@guarded
def _emit_finished(backfill: Foreign) -> None:
    outcome = _OUTCOMES[backfill.status.value]
    metadata = {**_describe(backfill), "status": outcome}
    metadata["outcome"] = "success" if outcome == "success" else "failure"
    if backfill.error is not None:
        failure = failure_of_info(backfill.error)
        metadata.update(error_type=failure.type, error_message=failure.message)
    execute("flowstone.backfill.finished", None, metadata)


def _describe(backfill: Foreign, *, is_asked: bool = True) -> dict[str, Any]:
    """Return the metadata of a backfill.

    Args:
        backfill: Dagster's `PartitionBackfill`.
        is_asked: Name who requested it.
    """
    tags: Mapping[str, str] = backfill.tags or {} if is_asked else {}
    user = tags.get(USER_TAG) or tags.get(ACTOR_TAG) or (is_asked and getattr(backfill, "user", None)) or None
    selected = [asset_name(key) for key in backfill.asset_selection or ()]
    return described(
        backfill_id=backfill.backfill_id,
        actor=user,
        actor_type=None if user is None else "user",
        assets=sorted(selected)[:ASSETS_LIMIT] or None,
    )
