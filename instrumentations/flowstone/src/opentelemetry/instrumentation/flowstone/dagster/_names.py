"""Names of Dagster's runs, steps and assets in events."""

from __future__ import annotations

from assay.instrumentation import Foreign

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
SENSOR_TAG = "dagster/sensor_name"
USER_TAG = "user"


def partition_of_run(tags: Foreign) -> str | None:
    """Return a run's partition key; of a range, `first...last` as Dagster writes it; None if it has none."""
    partition = tags.get(PARTITION_TAG)
    if partition is None and RANGE_START_TAG in tags:
        return f"{tags[RANGE_START_TAG]}...{tags.get(RANGE_END_TAG, '')}"
    return partition


def partition_of(context: Foreign) -> str | None:
    """Return the partition key of a load or store; of several, `first...last`."""
    if not context.has_asset_key or not context.has_asset_partitions:
        return None
    keys = context.asset_partition_keys
    if not keys:
        return None
    return str(keys[0]) if len(keys) == 1 else f"{keys[0]}...{keys[-1]}"


def asset_name(asset_key: Foreign) -> str:
    """Return an asset key as the name that users know."""
    return str(asset_key.to_user_string())


def name_of_output(context: Foreign) -> str:
    """Return the asset that an output context is for; for an op's output, the op."""
    if context.has_asset_key:
        return str(context.asset_key.to_user_string())
    return str(context.step_key).split("[", 1)[0]


def name_of_input(context: Foreign) -> str:
    """Return the asset that an input context reads; for an op's output, the op that made it."""
    if context.has_asset_key:
        return str(context.asset_key.to_user_string())
    upstream = context.upstream_output
    return name_of_output(upstream) if upstream is not None else str(context.name)
