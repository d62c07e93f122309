"""OpenTelemetry's own instrumentation of threads, beside this one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

_MODULE = "opentelemetry.instrumentation.threading"


def without_threading_instrumentation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the user's function in a function that upstream's instrumentation of threads submits.

    That function makes the submitter's context current. The request's context, which extends it, is current
    instead.
    """
    if getattr(function, "__module__", None) != _MODULE or not inspect.isfunction(function):
        return function
    return inspect.getclosurevars(function).nonlocals.get("original_func", function)
