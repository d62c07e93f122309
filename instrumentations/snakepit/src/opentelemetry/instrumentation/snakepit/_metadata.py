"""The metadata of Snakepit's events."""

from __future__ import annotations

from typing import Any


def described(**values: object) -> dict[str, Any]:
    """Return the values that are not None."""
    return {key: value for key, value in values.items() if value is not None}
