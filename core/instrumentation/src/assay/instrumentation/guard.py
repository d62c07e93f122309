"""Keep the errors of an instrumentation away from the program that it instruments."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_reported: set[str] = set()


def guarded(function: Callable[P, R]) -> Callable[P, R | None]:
    """Return a function that logs the exception that `function` raises, and returns None instead.

    Each function logs its first failure as a warning and later ones for debugging: an instrumentation whose
    library has changed fails at every call. Exceptions that are not `Exception`s propagate.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the instrumented program continues
            report(function, error)
            return None

    return call


def report(function: Callable[..., object], error: BaseException) -> None:
    """Log that a function of an instrumentation failed, under the logger of the function's module."""
    module = getattr(function, "__module__", None) or __name__
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    level = logging.WARNING if is_first(f"{module}.{name}") else logging.DEBUG
    logging.getLogger(module).log(
        level, "the instrumentation failed in %s; the instrumented program continues", name, exc_info=error
    )


def is_first(occasion: str) -> bool:
    """Return whether this process asks for the first time, so that each occasion is reported once."""
    if occasion in _reported:
        return False
    _reported.add(occasion)
    return True
