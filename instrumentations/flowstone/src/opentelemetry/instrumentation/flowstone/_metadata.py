"""The metadata of FlowStone's events."""

from __future__ import annotations

from typing import Any


def described(*, run_id: str | None = None, **values: object) -> dict[str, Any]:
    """Return the values that are not None; a run's id is also the correlation id of its events."""
    metadata = {key: value for key, value in values.items() if value is not None}
    if run_id is not None:
        metadata["run_id"] = run_id
        metadata["correlation_id"] = run_id
    return metadata
