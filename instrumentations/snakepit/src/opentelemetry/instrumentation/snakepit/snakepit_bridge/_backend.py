"""A backend of the telemetry of `snakepit_bridge` that emits its events on the bus."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry.instrumentation.snakepit._metadata import described
from opentelemetry.instrumentation.snakepit._process import worker_id_of

from assay.instrumentation import Foreign, guarded
from assay.telemetry import Span, execute, span
from assay.telemetry.correlation import is_correlation_id

POOL = "snakepit_bridge"
_PREFIX = "snakepit.python."
_RENAMED = {"bytes": "size_bytes"}
"""Measurements that the registry names otherwise."""

_open: ContextVar[tuple[tuple[str, Span], ...]] = ContextVar("snakepit_bridge_spans", default=())
"""The spans that have started here, innermost last, with their names."""


class BusBackend:
    """Emits each event as `snakepit.python.<event>`, and passes it to the backend that was set.

    It has the interface of `snakepit_bridge.telemetry.backends.base.TelemetryBackend`. Other attributes are
    those of the backend behind it.

    Args:
        following: The backend behind it, such as the one that streams to Elixir; None if there is none.
    """

    def __init__(self, following: Foreign = None) -> None:
        self.following = following

    def emit(
        self,
        event_name: str,
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Emit an event of `snakepit_bridge.telemetry`.

        Args:
            event_name: Dotted name, such as `tool.execution.start`.
            measurements: Its numbers.
            metadata: Its metadata.
            correlation_id: Its correlation id; None is the current one.
        """
        _emit(event_name, measurements, metadata or {}, correlation_id)
        if self.following is not None:
            self.following.emit(event_name, measurements, metadata, correlation_id)

    def close(self) -> None:
        """Close the backend behind it."""
        if self.following is not None:
            self.following.close()

    def __getattr__(self, name: str) -> Foreign:
        return getattr(self.following, name)


def worker_id() -> str:
    """Return the id of this process as a worker."""
    return worker_id_of(POOL, os.getpid())


@guarded
def _emit(
    name: str, measurements: Mapping[str, Any], given: Mapping[str, Any], correlation_id: str | None
) -> None:
    known = correlation_id if correlation_id and is_correlation_id(correlation_id) else None
    metadata = described(**{"worker_id": worker_id(), "correlation_id": known, **given})
    operation, _, phase = name.rpartition(".")
    if phase == "start":
        started = span(f"{_PREFIX}{operation}", **metadata)
        started.__enter__()
        _open.set((*_open.get(), (operation, started)))
    elif phase in {"stop", "exception"} and (started := _take(operation)) is not None:
        _end(started, metadata, is_error=phase == "exception")
    else:
        renamed = {_RENAMED.get(key, key): value for key, value in measurements.items()}
        execute(f"{_PREFIX}{name}", renamed, metadata)


def _end(started: Span, metadata: Mapping[str, Any], *, is_error: bool) -> None:
    error = sys.exc_info()[1]  # `snakepit_bridge.telemetry.span` emits while it handles the exception
    if is_error and error is not None:
        started.fail(error)
    elif is_error:
        started.fail(str(metadata.get("error_message", "")), str(metadata.get("error_type", "_OTHER")))
    started.__exit__(None, None, None)


def _take(operation: str) -> Span | None:
    """Return the innermost open span of an operation; None if there is none."""
    spans = _open.get()
    for position in range(len(spans) - 1, -1, -1):
        if spans[position][0] == operation:
            _open.set(spans[:position] + spans[position + 1 :])
            return spans[position][1]
    return None
