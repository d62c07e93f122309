"""Read which steps and materializations must be linked, from Dagster's own record."""

# pyright: basic
# Dagster types only some of its classes: strict checking would report errors of Dagster, not of this file.

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.cli._comparison.facts import Fact

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterInstance, DagsterRun

    from assay.cli._comparison.recorded import RunRecord

POINTER = "dagster/input_event_pointer/"
"""Prefix of the tags in which a materialization has the storage ids of the events that it was made from."""
UNRESOLVED = "[?]"
"""End of a step's key in a plan, if a dynamic output decides how many such steps there are."""


def links(record: RunRecord, run: DagsterRun, instance: DagsterInstance) -> Iterator[Fact]:
    """Yield the links of a run's steps and materializations.

    Left out are links to steps of earlier runs, and to partitions, which Dagster does not record.
    """
    upstream = _upstream_of(run, instance)
    for step, attempts in record.attempts.items():
        read = [key for key in _resolved(step, upstream, list(record.attempts)) if key in record.attempts]
        for number, attempt in enumerate(attempts):
            if not attempt.is_recorded:
                continue
            if number:
                yield Fact("link", record.id, detail=f"{step} retry_of ")
            for key in read:
                yield Fact("link", record.id, detail=f"{step} input {key}")
    for event in record.events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            yield from _made_from(record.id, event, instance)


def _upstream_of(run: DagsterRun, instance: DagsterInstance) -> dict[str, list[str]]:
    """Return the steps that each step of the run's plan depends on, by its key."""
    if run.execution_plan_snapshot_id is None:
        return {}
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return {
        step.key: [handle.step_key for each in step.inputs for handle in each.upstream_output_handles]
        for step in plan.steps
    }


def _resolved(step: str, upstream: dict[str, list[str]], steps: list[str]) -> Iterator[str]:
    """Yield the steps that a step depends on, with the mapping keys of dynamic outputs, each once."""
    name, _, mapping = step.partition("[")
    for key in dict.fromkeys(upstream.get(step) or upstream.get(name + UNRESOLVED, [])):
        if not key.endswith(UNRESOLVED):
            yield key
        elif mapping:
            yield f"{key.removesuffix(UNRESOLVED)}[{mapping}"
        else:
            yield from (each for each in steps if each.startswith(key.removesuffix("?]")))


def _made_from(run: str, event: DagsterEvent, instance: DagsterInstance) -> Iterator[Fact]:
    from dagster import AssetKey, AssetRecordsFilter  # noqa: PLC0415 - the command starts without Dagster

    made = event.step_materialization_data.materialization
    for tag, value in (made.tags or {}).items():
        if not tag.startswith(POINTER) or not value.isdecimal():
            continue
        name = tag.removeprefix(POINTER)
        chosen = AssetRecordsFilter(AssetKey.from_user_string(name), storage_ids=[int(value)])
        for found in instance.fetch_materializations(chosen, limit=1).records:
            if found.partition_key is None:
                asset, partition = made.asset_key.to_user_string(), made.partition or ""
                yield Fact("link", run, asset, partition, f"made_from {name} of {found.run_id}")
