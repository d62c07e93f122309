"""One JSON object a line for what the application logs through `logging` (ASSAY_LOGS=json).

```json
{"level":"info","message":"Label submitted","queue_id":"queue_123","logger":"ingot","timestamp":"…Z"}
```

The application's configuration decides what is logged and where. This module formats whatever goes to
standard output or error, whichever handler writes it; files and other streams keep their form. For that, each
stream handler gets a formatter that decides by the handler's current stream. It gets it before the first log
record that is created after the handler. No class of `logging` is changed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Final, TypeAlias, cast
from weakref import ReferenceType

import orjson
from opentelemetry.trace import get_current_span

from assay.telemetry.ambient import correlation_id
from assay.telemetry.correlation import VARIABLE, current
from assay.telemetry.redaction import redact, redact_metadata, redact_text

# Redaction does not look into a dataclass, so its fields must not be serialized.
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_OF_EVERY_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "otelSpanID", "otelTraceID", "otelTraceSampled", "otelServiceName",
}  # fmt: skip

StreamHandler: TypeAlias = "logging.StreamHandler[Any]"


class JsonFormatter(logging.Formatter):
    """Formats a log record with its extra fields and the ids of its trace and correlation, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON. No value of an extra field can make it fail."""
        line: dict[str, Any] = {
            "level": record.levelname.lower(),
            "message": redact_text(message_of(record)),
            "logger": redact(record.name),  # None in a record that was made by hand
        }
        for key, value in extra_fields(record).items():
            for name, clean in _redacted(key, value).items():
                line.setdefault(name, clean)
        line |= context()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error_type"] = type(error).__qualname__
            line["error_message"] = to_text(error)
            line["stacktrace"] = redact_text("".join(traceback.format_exception(error)))
        elif record.exc_text:  # of a record from another process
            line["stacktrace"] = redact_text(record.exc_text)
        if record.stack_info:
            line["stack_info"] = redact_text(record.stack_info)
        line["timestamp"] = timestamp(record.created)
        return dumps(line)


class _FormatterByStream(logging.Formatter):
    """Formats as JSON while a handler's stream is standard output or error, else as the handler did before.

    A record that cannot be formatted as JSON is formatted as the handler did before, too.

    Args:
        handler: The handler whose formatter this is.
        usual: The formatter that it had; None: the default of `logging`.
    """

    def __init__(self, handler: StreamHandler, usual: logging.Formatter | None) -> None:
        super().__init__()
        self._handler = handler
        self._usual = usual or _DEFAULT

    def format(self, record: logging.LogRecord) -> str:
        if _is_standard(self._handler.stream):
            with suppress(Exception):  # the record must not be lost
                return _JSON.format(record)
        return self._usual.format(record)


_JSON = JsonFormatter()
_DEFAULT = logging.Formatter()
_is_installed = False


def install() -> None:
    """Format what is logged to standard output and error as JSON; a second call has no effect.

    Records are created by a factory that wraps the one that is set now (`logging.setLogRecordFactory`).
    """
    global _is_installed  # noqa: PLW0603 - one log record factory to a process
    if _is_installed:
        return
    _is_installed = True
    usual = logging.getLogRecordFactory()

    def create(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401 - the factory's signature
        _set_formatters()
        return usual(*args, **kwargs)

    logging.setLogRecordFactory(create)


def _set_formatters() -> None:
    # All handlers, not those of the loggers: a handler may be the target of another one, or of a queue.
    references = cast("list[ReferenceType[logging.Handler]]", vars(logging)["_handlerList"])
    for reference in list(references):
        handler = reference()
        if isinstance(handler, logging.StreamHandler) and not isinstance(
            handler.formatter, _FormatterByStream
        ):
            stream_handler = cast("StreamHandler", handler)
            handler.setFormatter(_FormatterByStream(stream_handler, handler.formatter))


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a log record that not every record has."""
    return {key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD}


def context() -> dict[str, str]:
    """Return the trace id, the span id and the correlation id of the running code."""
    ids: dict[str, str] = {}
    span = get_current_span().get_span_context()
    if span.is_valid:
        ids["trace_id"] = f"{span.trace_id:032x}"
        ids["span_id"] = f"{span.span_id:016x}"
    if span.is_valid or correlation_id.get() or VARIABLE in os.environ:  # else `current` makes a new one
        ids["correlation_id"] = current()
    return ids


def timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 text, in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def dumps(line: Mapping[str, Any]) -> str:
    """Return a line of JSON. A value that JSON cannot hold becomes its `str`, redacted."""
    try:
        return orjson.dumps(line, default=to_text, option=_OPTIONS).decode()
    except (TypeError, ValueError):  # integers beyond 64 bits, lone surrogates, cycles
        return json.dumps(
            {key: value if isinstance(value, bool) else to_text(value) for key, value in line.items()}
        )


def _redacted(key: str, value: object) -> Mapping[str, object]:
    try:
        return redact_metadata({key: value})
    except Exception:  # noqa: BLE001 - a value's own iteration or comparison may raise
        return {redact_text(key): to_text(value)}


def to_text(value: object) -> str:
    """Return the `str` of a value, redacted; its type's name if that raises."""
    try:
        return redact_text(str(value))
    except Exception:  # noqa: BLE001 - an object's own __str__ may raise
        return f"<{type(value).__qualname__}>"


def message_of(record: logging.LogRecord) -> str:
    """Return a record's message; its parts if the arguments do not fit the format."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - must not lose the record
        return f"{to_text(record.msg)} {to_text(record.args)}"


def _is_standard(stream: object) -> bool:
    return any(stream is one for one in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__))
