"""The names of commands, and their arguments in a form that may leave the process."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from typing import Any

from assay.telemetry import redact

SANITIZED = "[SANITIZED]"
_NAME = re.compile(r"[\w.:/-]{1,64}")
EXCLUDED_VARIABLE = "ASSAY_SNAKEPIT_EXCLUDED_COMMANDS"
_INFRASTRUCTURE = ("assay.", "dagster.", "grpc.", "opentelemetry.")
_DEPTH = 10
"""Layers of partial functions that are looked through."""
_CHUNK_RUNNERS = frozenset({"_process_chunk", "mapstar", "starmapstar"})
"""The functions that a pool calls with a user's function and a chunk of arguments."""


def command_of(function: Callable[..., Any], args: tuple[Any, ...] = ()) -> str:
    """Return the qualified name of the function that a task calls, such as `shop.model.predict`.

    Partial functions, the chunks of `map`, the batches of joblib, `Context.run` and asyncio's `to_thread` are
    looked through. An object that can be called has the name of its class.

    Args:
        function: What the pool calls.
        args: With which arguments by position.
    """
    for _ in range(_DEPTH):
        if isinstance(function, partial):
            function, args = function.func, (*function.args, *args)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        elif args and _passes_on(function):
            function, args = args[0], args[1:]
        elif type(function).__module__.startswith("joblib."):
            function = _of_joblib(function)
        else:
            break
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}"


def excluded_commands() -> tuple[str, ...]:
    """Return the beginnings of the commands that are not instrumented.

    Telemetry and Dagster use pools themselves, and gRPC runs each call in one.
    ASSAY_SNAKEPIT_EXCLUDED_COMMANDS adds others.
    """
    own = os.environ.get(EXCLUDED_VARIABLE, "").split(",")
    return (*_INFRASTRUCTURE, *(part.strip() for part in own if part.strip()))


def _passes_on(function: Callable[..., Any]) -> bool:
    """Return whether a function only calls its first argument."""
    return (
        isinstance(getattr(function, "__self__", None), Context)
        or getattr(function, "__name__", "") in _CHUNK_RUNNERS
    )


def _of_joblib(runner: Any) -> Callable[..., Any]:  # noqa: ANN401 - a class of joblib
    """Return the function that an object of joblib calls: the first one of a batch."""
    items = getattr(runner, "items", None)
    return items[0][0] if items else getattr(runner, "func", type(runner))


def sanitise(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments of a call as a JSON object, by parameter.

    Numbers, truth values, None and short names are shown unless they are secrets. All other values are user
    data and replaced by `[SANITIZED]`.
    """
    shown = {name: _shown(value) for name, value in _named(function, args, kwargs).items()}
    return json.dumps(redact(shown))


def _named(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(inspect.signature(function).bind_partial(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # a function written in C, or a call that does not fit
        return {**{f"arg{position}": value for position, value in enumerate(args)}, **kwargs}


def _shown(value: object) -> object:
    if value is None or type(value) in {bool, int, float}:
        return value
    return value if type(value) is str and _NAME.fullmatch(value) else SANITIZED
