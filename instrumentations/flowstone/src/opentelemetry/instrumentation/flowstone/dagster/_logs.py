"""Lines of `context.log`, which Dagster keeps from the handlers of Python's root logger."""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from assay.instrumentation import Call, Foreign, guarded

OTEL_HANDLERS = "opentelemetry."
"""Modules of the handlers that export records through OpenTelemetry."""


class Lines:
    """Passes the lines of `context.log` to OpenTelemetry's handlers.

    Frameworks such as Celery remove the handlers of the root logger when they set up logging of their own.
    The handlers that it had when the program imported Dagster then stay in use.
    """

    def __init__(self) -> None:
        self._remembered: list[logging.Handler] = []

    def remember(self, module: Foreign) -> None:
        """Remember the handlers of now, when the program imports Dagster's logging."""
        del module
        self._remembered = _handlers()

    def forward(self, call: Call) -> Foreign:
        """Wrap `DagsterLogHandler.emit`: pass lines of `context.log` on, and give Dagster's loggers the ids.

        Lines of other loggers reach the root logger themselves. Dagster's events are not lines of the user:
        they are reported as bus events.
        """
        record = call.argument("record")
        # A copy from before the call: Dagster puts the run and the step in front of the message.
        line = copy.copy(record) if _is_line_of_context(record) else None
        with _with_trace(record):
            result = call()
        if line is not None:
            _export(line, _handlers() or self._remembered)
        return result


@contextmanager
def _with_trace(record: logging.LogRecord) -> Generator[None]:
    """Add the ids of the current span to a record for the block: Dagster passes them to the user's loggers.

    The names are those of the specification, "Trace Context in non-OTLP Log Formats".
    """
    current = trace.get_current_span().get_span_context()
    found = {
        "trace_id": format_trace_id(current.trace_id),
        "span_id": format_span_id(current.span_id),
        "trace_flags": f"{current.trace_flags:02x}",
    }
    added = {name: text for name, text in found.items() if current.is_valid and name not in vars(record)}
    vars(record).update(added)
    try:
        yield
    finally:
        for name in added:
            vars(record).pop(name, None)


def _is_line_of_context(record: logging.LogRecord) -> bool:
    return record.name == "dagster" and getattr(record, "dagster_event", None) is None


def _handlers() -> list[logging.Handler]:
    """Return OpenTelemetry's handlers of the root logger."""
    found = logging.getLogger().handlers
    return [handler for handler in found if type(handler).__module__.startswith(OTEL_HANDLERS)]


@guarded
def _export(line: logging.LogRecord, handlers: list[logging.Handler]) -> None:
    for handler in handlers:
        if line.levelno >= handler.level:
            # Not `handle`: its filters may print what no other handler handles, and Dagster's handlers do.
            handler.acquire()
            try:
                handler.emit(line)
            finally:
                handler.release()
