"""The plan of a step: the assets that it materializes, each with its partitions."""

from __future__ import annotations

from typing import TypeAlias

from opentelemetry.instrumentation.flowstone.dagster._event_log import before_end
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name

from assay.instrumentation import Foreign

Target: TypeAlias = tuple[str, "str | None"]
"""An asset and its partition; None if the asset has none."""

PLANNED, MATERIALIZED = "ASSET_MATERIALIZATION_PLANNED", "ASSET_MATERIALIZATION"
CHECK_PLANNED, CHECK_EVALUATED = "ASSET_CHECK_EVALUATION_PLANNED", "ASSET_CHECK_EVALUATION"


def planned_by(context: Foreign) -> list[Target]:
    """Return what a step is planned to materialize.

    Args:
        context: Dagster's step context.
    """
    outputs = [output for output in context.step.step_outputs if _is_materialized(output.properties)]
    if not outputs:
        return []
    if len(outputs) > 1:  # else the step would not run if the output were not selected
        selected = context.get_output_asset_keys()
        outputs = [output for output in outputs if output.properties.asset_key in selected]
    return [
        (asset_name(output.properties.asset_key), partition)
        for output in outputs
        for partition in _partitions(context, output)
    ]


def checks_of(step: Foreign) -> set[tuple[str, str]]:
    """Return the asset and the name of each check that a step is planned to evaluate."""
    keys = [output.properties.asset_check_key for output in step.step_outputs]
    return {(asset_name(key.asset_key), str(key.name)) for key in keys if key is not None}


def kind_of(step: Foreign) -> str:
    """Return what a step makes: `asset`, `observation`, `check` or `op`."""
    properties = [output.properties for output in step.step_outputs]
    if any(_is_materialized(each) for each in properties):
        return "asset"
    if any(each.asset_key is not None for each in properties):
        return "observation"
    return "check" if any(each.asset_check_key is not None for each in properties) else "op"


def unfinished(instance: Foreign, run_id: str, step_keys: set[str]) -> list[tuple[str, Target]]:
    """Return what steps were planned to materialize and have not, from Dagster's event log.

    Args:
        instance: Dagster's instance.
        run_id: The run.
        step_keys: Keys of the steps.

    Returns:
        Each step's key, and what it has not materialized.
    """
    planned: list[tuple[str, Target]] = []
    made: set[tuple[str, Target]] = set()
    for entry in before_end(instance, run_id, {PLANNED, MATERIALIZED}):
        event = entry.dagster_event
        if event.step_key not in step_keys:
            continue
        if event.event_type_value == MATERIALIZED:
            made.add((event.step_key, (asset_name(event.asset_key), event.partition)))
        else:
            planned.extend((event.step_key, target) for target in _planned_targets(event))
    return [each for each in planned if each not in made]


def unevaluated(instance: Foreign, run_id: str, step_keys: set[str]) -> list[tuple[str, tuple[str, str]]]:
    """Return the checks that steps were planned to evaluate and have not, from Dagster's event log.

    Steps that materialize assets are left out: what fails there is the asset.

    Args:
        instance: Dagster's instance.
        run_id: The run.
        step_keys: Keys of the steps.

    Returns:
        Each step's key, and the asset and the name of the check.
    """
    planned: list[tuple[str, tuple[str, str]]] = []
    done: set[tuple[str, tuple[str, str]]] = set()
    of_assets: set[str] = set()
    for entry in before_end(instance, run_id, {PLANNED, CHECK_PLANNED, CHECK_EVALUATED}):
        event = entry.dagster_event
        if event.event_type_value == PLANNED:
            of_assets.add(event.step_key)
        elif event.step_key in step_keys:
            data = event.event_specific_data
            check = event.step_key, (asset_name(data.asset_key), str(data.check_name))
            if event.event_type_value == CHECK_EVALUATED:
                done.add(check)
            else:
                planned.append(check)
    return [each for each in planned if each not in done and each[0] not in of_assets]


def _planned_targets(event: Foreign) -> list[Target]:
    data, name = event.event_specific_data, asset_name(event.asset_key)
    subset = getattr(data, "partitions_subset", None)
    if subset is None:
        return [(name, data.partition)]
    return [(name, partition) for partition in subset.get_partition_keys()]


def _is_materialized(properties: Foreign) -> bool:
    if properties.asset_key is None:
        return False
    return getattr(properties.asset_execution_type, "name", "") != "OBSERVATION"


def _partitions(context: Foreign, output: Foreign) -> list[str | None]:
    if not output.properties.is_asset_partitioned or not context.has_partitions:
        return [None]
    keys = context.partition_key_range
    if keys.start == keys.end:
        return [str(keys.start)]
    from dagster._core.execution.plan.outputs import (  # noqa: PLC0415 - Dagster is imported by then
        StepOutputHandle,
    )

    stored = context.get_output_context(StepOutputHandle(context.step.key, output.name))
    return [str(key) for key in stored.asset_partition_keys]
