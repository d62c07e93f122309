"""Materializations: `flowstone.materialization.*`, each of one asset and one of its partitions.

It starts when Dagster stores that its step has started, and succeeds when Dagster stores the event
`ASSET_MATERIALIZATION`. So a step of three assets is three materializations, and an op is none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._details import definition_of, details_of
from opentelemetry.instrumentation.flowstone.dagster._event_log import Stored
from opentelemetry.instrumentation.flowstone.dagster._failures import Failure
from opentelemetry.instrumentation.flowstone.dagster._links import SpanContexts
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name
from opentelemetry.instrumentation.flowstone.dagster._plan import Target
from opentelemetry.instrumentation.flowstone.dagster._step_span import Step

from assay.telemetry import execute, span


def describe(run_id: str, step_key: str, target: Target) -> dict[str, Any]:
    """Return the metadata of the events about a materialization."""
    asset, partition = target
    return described(run_id=run_id or None, asset=asset, partition=partition, step_key=step_key or None)


def start_planned(step: Step, stored: Stored) -> None:
    """Start the spans of what a step is planned to materialize; the step's own span stays current.

    A step launcher may send all events when the step has ended: their spans are made at their end.
    """
    if stored.event.pid != os.getpid():
        for target in step.planned:
            execute("flowstone.materialization.start", None, describe(step.run_id, step.key, target))
            step.launched[target] = stored.time
        return
    inside, current = otel_context.get_current(), trace.get_current_span()
    for target in step.planned:
        started = span("flowstone.materialization", **describe(step.run_id, step.key, target))
        started.__enter__()
        step.record(target, current)
        otel_context.attach(inside)
        step.open[target] = started


def succeed(step: Step, stored: Stored, contexts: SpanContexts) -> None:
    """End the span of what a running step has materialized; emit the event if there is no span.

    Args:
        step: The step.
        stored: The event ASSET_MATERIALIZATION.
        contexts: Gives the links to what it was made from, and remembers the span.
    """
    key, materialization = stored.event.asset_key, stored.event.event_specific_data.materialization
    target = asset_name(key), stored.event.partition
    links = contexts.links_of_materialization(step.context, materialization)
    measurements: dict[str, int] = {}
    if target[0] in step.sizes:
        measurements["result_size"] = step.sizes[target[0]]
    details = details_of(materialization)
    details.update(definition_of(step.context, key), mapping_key=step.mapping_key)
    details["retry_number"] = step.attempt - 1
    made = step.open.pop(target, None)
    if made is None:  # it was not planned, or made elsewhere
        began = step.launched.pop(target, None)
        measurements["duration"] = step.duration() if began is None else max(0, stored.time - began)
        described_target = describe(stored.run_id, stored.step_key, target)
        metadata = described(**described_target, links=links or None, **details)
        execute("flowstone.materialization.stop", measurements, metadata)
        return
    recorded = step.recorded.get(target)
    if recorded is not None:
        contexts.remember_materialization(stored.run_id, target, recorded)
        for link in links or ():
            recorded.add_link(link.context, link.attributes)
    made.metadata.update(described(**details))
    made.measurements.update(measurements)
    made.__exit__(None, None, None)


def emit_success(stored: Stored) -> None:
    """Emit the event of a materialization outside of the steps that run in this process."""
    target = asset_name(stored.event.asset_key), stored.event.partition
    details = details_of(stored.event.event_specific_data.materialization)
    metadata = described(**describe(stored.run_id, stored.step_key, target), **details)
    execute("flowstone.materialization.stop", {}, metadata)


def end_all(step: Step, phase: str, stored: Stored) -> None:
    """End the spans of what a step has not materialized, with neither success nor failure.

    Args:
        step: The step.
        phase: `canceled`, `interrupted` or `skipped`.
        stored: The event that ends the step.
    """
    for made in step.open.values():
        made.metadata["status"] = phase
        made.end_as(phase)
        made.__exit__(None, None, None)
    step.open.clear()
    _end_launched(step, phase, stored, {"status": phase})


def fail_all(step: Step, failure: Failure, stored: Stored) -> list[Target]:
    """End the spans of what a step has not materialized with its failure; return what that is."""
    for made in step.open.values():
        made.metadata.update(failure.described())
        made.fail(failure.message, failure.type)
        made.__exit__(None, None, None)
    failed = list(step.open)
    step.open.clear()
    return failed + _end_launched(step, "exception", stored, failure.described())


def fail_checks(step: Step, failure: Failure) -> None:
    """Report the checks that a failed step of checks has not evaluated."""
    for asset, check in sorted(step.unchecked):
        metadata = {**describe(step.run_id, step.key, (asset, None)), **failure.described()}
        metadata["check"] = check
        execute("flowstone.asset_check.exception", {"duration": step.duration()}, metadata)


def _end_launched(step: Step, phase: str, stored: Stored, metadata: Mapping[str, Any]) -> list[Target]:
    """Emit the end of what a launched step has not materialized; return what that is."""
    for target, began in step.launched.items():
        described_target = describe(step.run_id, step.key, target)
        measurements = {"duration": max(0, stored.time - began)}
        execute(f"flowstone.materialization.{phase}", measurements, {**described_target, **metadata})
    ended = list(step.launched)
    step.launched.clear()
    return ended
