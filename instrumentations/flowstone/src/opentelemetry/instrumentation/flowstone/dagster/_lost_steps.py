"""Steps whose process has died; another process reports what they leave unfinished, by the event log."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.instrumentation.flowstone.dagster._event_log import (
    NS_PER_SECOND,
    RUN_CANCELED,
    Stored,
    before_end,
)
from opentelemetry.instrumentation.flowstone.dagster._failures import Failure, failure_of_event
from opentelemetry.instrumentation.flowstone.dagster._materializations import describe
from opentelemetry.instrumentation.flowstone.dagster._plan import Target, unevaluated, unfinished
from opentelemetry.instrumentation.flowstone.dagster._step_span import (
    FAILED,
    RESTARTED,
    STARTED,
    SUCCEEDED,
    UP_FOR_RETRY,
)

from assay.telemetry import execute


def abandon(stored: Stored) -> None:
    """Report what a run leaves unfinished whose process has ended without reporting it.

    Args:
        stored: The event that ends the run, stored by another process.
    """
    began, ended = _attempts(stored)
    open_steps = set(began) - ended
    for key, target in unfinished(stored.instance, stored.run_id, open_steps) if open_steps else ():
        metadata = describe(stored.run_id, key, target)
        measurements = {"duration": max(0, stored.time - began[key])}
        if stored.kind == RUN_CANCELED:
            metadata["status"] = "canceled"
            execute("flowstone.materialization.canceled", measurements, metadata)
            continue
        metadata.update(failure_of_event(stored.event).described())
        execute("flowstone.materialization.exception", measurements, metadata)
    if open_steps and stored.kind != RUN_CANCELED:
        _fail_checks(stored, failure_of_event(stored.event), {key: began[key] for key in open_steps})


def fail(stored: Stored, failure: Failure) -> list[Target]:
    """Report what a step has not materialized, and has not checked; return what it has not materialized.

    Args:
        stored: The event STEP_FAILURE or STEP_UP_FOR_RETRY of the step, stored by another process.
        failure: The failure.
    """
    began, _ = _attempts(stored)
    start = began.get(stored.step_key, stored.time)
    failed = [target for _, target in unfinished(stored.instance, stored.run_id, {stored.step_key})]
    for target in failed:
        metadata = {**describe(stored.run_id, stored.step_key, target), **failure.described()}
        execute("flowstone.materialization.exception", {"duration": max(0, stored.time - start)}, metadata)
    _fail_checks(stored, failure, {stored.step_key: start})
    return failed


def next_attempt(stored: Stored) -> int:
    """Return the number of the next attempt at the step of an event."""
    from dagster import DagsterEventType  # noqa: PLC0415 - Dagster is imported by then

    retries = stored.instance.all_logs(stored.run_id, of_type={DagsterEventType(UP_FOR_RETRY)})
    return 1 + sum(entry.dagster_event.step_key == stored.step_key for entry in retries)


def _fail_checks(stored: Stored, failure: Failure, began: Mapping[str, int]) -> None:
    """Report the checks that steps have not evaluated.

    Args:
        stored: The event that reports the death.
        failure: The failure.
        began: When each of the steps started, in ns since 1970.
    """
    for key, (asset, check) in unevaluated(stored.instance, stored.run_id, set(began)):
        metadata = {**describe(stored.run_id, key, (asset, None)), **failure.described(), "check": check}
        duration = max(0, stored.time - began[key])
        execute("flowstone.asset_check.exception", {"duration": duration}, metadata)


def _attempts(stored: Stored) -> tuple[dict[str, int], set[str]]:
    """Return when each step of a run last started, in ns since 1970, and the keys of those that ended.

    Up to the end of the run: whoever ends the run reports what is open then.
    """
    kinds = {STARTED, RESTARTED, SUCCEEDED, FAILED, UP_FOR_RETRY}
    began: dict[str, int] = {}
    ended: set[str] = set()
    for entry in before_end(stored.instance, stored.run_id, kinds):
        event = entry.dagster_event
        if event.event_type_value in {STARTED, RESTARTED}:
            began[event.step_key] = int(entry.timestamp * NS_PER_SECOND)
            ended.discard(event.step_key)
        else:
            ended.add(event.step_key)
    return began, ended
