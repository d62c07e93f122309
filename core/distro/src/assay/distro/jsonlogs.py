"""One JSON object a line, for what the app logs through `logging` (ASSAY_LOGS=json).

```json
{"level":"info","message":"Label submitted","queue_id":"queue_123","logger":"ingot","timestamp":"…Z"}
```

The app's own configuration decides what is logged and where; this module decides the form of whatever goes to
standard output or error, whichever handler writes it. Files and other streams stay as they are.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

import orjson
from opentelemetry.trace import get_current_span

from assay.telemetry.ambient import correlation_id
from assay.telemetry.correlation import VARIABLE, current
from assay.telemetry.redaction import redact_metadata, redact_text

# The fields of a dataclass would pass by the redaction.
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_OF_EVERY_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "otelSpanID", "otelTraceID", "otelTraceSampled", "otelServiceName",
}  # fmt: skip


class JsonFormatter(logging.Formatter):
    """Renders a log record with its extra fields and the ids of what it belongs to, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        line: dict[str, Any] = {
            "level": record.levelname.lower(),
            "message": redact_text(_message(record)),
            "logger": record.name,
        }
        extra = {key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD}
        line |= {key: value for key, value in redact_metadata(extra).items() if key not in line}
        line |= context()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error_type"] = type(error).__qualname__
            line["error_message"] = redact_text(str(error))
            line["stacktrace"] = redact_text("".join(traceback.format_exception(error)))
        elif record.exc_text:  # of a record that came from another process
            line["stacktrace"] = redact_text(record.exc_text)
        if record.stack_info:
            line["stack_info"] = redact_text(record.stack_info)
        line["timestamp"] = timestamp(record.created)
        return dumps(line)


def install() -> None:
    """Let every handler that writes to standard output or error use the form; once a process."""
    if logging.StreamHandler.__dict__.get("format") is not None:
        return
    formatter = JsonFormatter()
    usual = logging.Handler.format

    def format_(self: logging.StreamHandler[Any], record: logging.LogRecord) -> str:
        return formatter.format(record) if _is_standard(self.stream) else usual(self, record)

    logging.StreamHandler.format = format_


def context() -> dict[str, str]:
    """Return the ids of the trace, the span and the correlation that the running code is part of."""
    ids: dict[str, str] = {}
    span = get_current_span().get_span_context()
    if span.is_valid:
        ids["trace_id"] = f"{span.trace_id:032x}"
        ids["span_id"] = f"{span.span_id:016x}"
    if span.is_valid or correlation_id.get() or VARIABLE in os.environ:
        # else there is nothing to correlate with
        ids["correlation_id"] = current()
    return ids


def timestamp(seconds: float) -> str:
    """Return a time since the epoch in RFC 3339, with milliseconds and `Z`."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def dumps(line: Mapping[str, Any]) -> str:
    """Return a line of JSON of whatever the values are; what JSON has no form for is its `str`."""
    try:
        return orjson.dumps(line, default=_text, option=_OPTIONS).decode()
    except (TypeError, ValueError):  # integers beyond 64 bits, lone surrogates, circles
        return json.dumps(
            {key: value if isinstance(value, bool) else _text(value) for key, value in line.items()}
        )


def _text(value: object) -> str:
    try:
        return redact_text(str(value))
    except Exception:  # noqa: BLE001 - an object's own __str__ may raise
        return f"<{type(value).__qualname__}>"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit their format lose the line otherwise
        return f"{record.msg} {record.args}"


def _is_standard(stream: object) -> bool:
    return stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
