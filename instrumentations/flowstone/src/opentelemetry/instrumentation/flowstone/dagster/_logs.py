"""Lines of `context.log`, which Dagster keeps from the handlers of Python's root logger."""

from __future__ import annotations

import copy
import logging

from assay.instrumentation import Call, Foreign, guarded

OTEL_HANDLERS = "opentelemetry."
"""Modules of the handlers that export records through OpenTelemetry."""


def forward(call: Call) -> Foreign:
    """Wrap `DagsterLogHandler.emit`: pass the lines of `context.log` to OpenTelemetry's handlers.

    Lines of other loggers reach the root logger themselves. Dagster's events are not lines of the user: they
    are reported as bus events.
    """
    record = call.argument("record")
    # A copy from before the call: Dagster puts the run and the step in front of the message.
    line = copy.copy(record) if _is_line_of_context(record) else None
    result = call()
    if line is not None:
        _export(line)
    return result


def _is_line_of_context(record: logging.LogRecord) -> bool:
    return record.name == "dagster" and getattr(record, "dagster_event", None) is None


@guarded
def _export(line: logging.LogRecord) -> None:
    for handler in logging.getLogger().handlers:
        if type(handler).__module__.startswith(OTEL_HANDLERS) and line.levelno >= handler.level:
            # Not `handle`: its filters may print what no other handler handles, and Dagster's handlers do.
            handler.acquire()
            try:
                handler.emit(line)
            finally:
                handler.release()
