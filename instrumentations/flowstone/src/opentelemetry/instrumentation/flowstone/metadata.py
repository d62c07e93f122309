"""How this package writes an event's metadata."""

from __future__ import annotations

from typing import Any


def described(*, run_id: str | None = None, **values: object) -> dict[str, Any]:
    """Return the values that are known; what happens in a run is correlated by the run's id."""
    metadata = {key: value for key, value in values.items() if value is not None}
    if run_id is not None:
        metadata["run_id"] = run_id
        metadata["correlation_id"] = run_id
    return metadata
