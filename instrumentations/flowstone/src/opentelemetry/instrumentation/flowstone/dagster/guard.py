"""Keeps what goes wrong in the adapter away from Dagster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from typing_extensions import ParamSpec

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger("opentelemetry.instrumentation.flowstone")
_reported: set[str] = set()


def guarded(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make a function that logs what it would raise, and returns None then.

    Each function logs its first failure as a warning and the next ones for debugging: a Dagster that has
    changed below us fails at every step.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception:
            name = function.__qualname__
            level = logging.DEBUG if name in _reported else logging.WARNING
            _reported.add(name)
            _logger.log(
                level, "the Dagster instrumentation failed in %s; Dagster goes on", name, exc_info=True
            )
            return None

    return call
