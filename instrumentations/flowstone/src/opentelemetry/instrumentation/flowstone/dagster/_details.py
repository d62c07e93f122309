"""The details of a materialization: versions, metadata and upstream assets, and how the asset is defined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.instrumentation import Foreign, guarded
from assay.telemetry import redact

ENTRIES_LIMIT = 50
"""Entries of metadata, upstream assets or tags that an event carries."""
TEXT_LIMIT = 256
"""Characters of an entry's value."""

_ROW_COUNTS = {"row_count": "dagster/row_count", "partition_row_count": "dagster/partition_row_count"}
_DATA_VERSION_TAGS = ("dagster/data_version", "dagster/logical_version")
_CODE_VERSION_TAG = "dagster/code_version"
_UPSTREAM_TAG = "dagster/input_data_version/"
_PLAIN = (str, int, float, bool)


def details_of(materialization: Foreign) -> dict[str, Any]:
    """Return the metadata of a stored materialization, as values of a bus event.

    Args:
        materialization: Dagster's `AssetMaterialization`.
    """
    tags: Mapping[str, str] = materialization.tags or {}
    recorded: Mapping[str, Any] = materialization.metadata
    details: dict[str, Any] = {name: _number(recorded.get(key)) for name, key in _ROW_COUNTS.items()}
    details["data_version"] = next((tags[tag] for tag in _DATA_VERSION_TAGS if tag in tags), None)
    details["code_version"] = tags.get(_CODE_VERSION_TAG)
    upstream = [tag.removeprefix(_UPSTREAM_TAG) for tag in tags if tag.startswith(_UPSTREAM_TAG)]
    details["upstream"] = upstream[:ENTRIES_LIMIT] or None
    details["metadata"] = _entries(recorded) if recorded else None
    return details


def definition_of(step_context: Foreign, asset_key: Foreign) -> dict[str, Any]:
    """Return an asset's group, kinds, owners and tags; empty if the job does not define it."""
    return _definition_of(step_context, asset_key) or {}


@guarded
def _definition_of(step_context: Foreign, asset_key: Foreign) -> dict[str, Any]:
    layer = step_context.job_def.asset_layer
    if not layer.has(asset_key):
        return {}
    node = layer.get(asset_key)
    tags = {key: value for key, value in node.tags.items() if not key.startswith("dagster/kind/")}
    return {
        "group": node.group_name,
        "kinds": sorted(node.kinds) or None,
        "owners": list(node.owners)[:ENTRIES_LIMIT] or None,
        "tags": _lines(tags),
    }


def _entries(recorded: Mapping[str, Foreign]) -> list[str] | None:
    """Return entries of metadata whose values are text or numbers, as `key=value`."""
    values = {key: getattr(value, "value", None) for key, value in recorded.items()}
    return _lines({key: value for key, value in values.items() if isinstance(value, _PLAIN)})


def _lines(values: Mapping[str, Any]) -> list[str] | None:
    if not values:
        return None
    clean = redact(dict(list(values.items())[:ENTRIES_LIMIT]))
    return [f"{key}={str(value)[:TEXT_LIMIT]}" for key, value in clean.items()]


def _number(value: Foreign) -> int | None:
    number = getattr(value, "value", None)
    return number if isinstance(number, int) else None
