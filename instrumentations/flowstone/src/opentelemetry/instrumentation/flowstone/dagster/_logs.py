"""Lines of `context.log`, which Dagster keeps from the handlers of Python's root logger."""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

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

    def concerns(self, handler: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether a record goes to OpenTelemetry's handlers, or to a logger or handler of the user.

        Dagster makes a record of each of its events, which in most deployments only its event log takes.
        """
        record = args[0] if args else kwargs["record"]
        return (
            any(logger.isEnabledFor(record.levelno) for logger in handler._loggers)  # noqa: SLF001 - Dagster's own way to them
            or len(handler._handlers) > 1  # noqa: SLF001 - as above; one is the event log's
            or bool(self._takers(record))
        )

    def forward(self, call: Call) -> Foreign:
        """Wrap `DagsterLogHandler.emit`: pass lines of `context.log` on, and give Dagster's loggers the ids.

        It gets the calls that `concerns` selects. Lines of other loggers reach the root logger themselves.
        Dagster's events are not lines of the user: they are reported as bus events.
        """
        record = call.args[0] if call.args else call.kwargs["record"]
        takers = self._takers(record)
        # A copy from before the call: Dagster puts the run and the step in front of the message.
        line = copy.copy(record) if takers else None
        with _with_trace(record):
            result = call()
        if line is not None:
            _export(line, takers)
        return result

    def _takers(self, record: logging.LogRecord) -> list[logging.Handler]:
        """Return OpenTelemetry's handlers that a line of `context.log` goes to; none for another record."""
        if not _is_line_of_context(record):
            return []
        return [each for each in _handlers() or self._remembered if record.levelno >= each.level]


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
        # Not `handle`: its filters may print what no other handler handles, and Dagster's handlers do.
        handler.acquire()
        try:
            handler.emit(line)
        finally:
            handler.release()
