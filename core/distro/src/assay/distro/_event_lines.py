"""One JSON object a line for each log event of the catalogue (ASSAY_LOGS=json), with its short field names.

```json
{"level":"info","message":"Materialization started","flowstone":true,"event":"materialization_start"}
```

`level` is in lower case for every subsystem, as in the lines of the application itself.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from assay.distro._json_logs import dumps, timestamp
from assay.semconv import attributes as keys
from assay.semconv.catalogue import Catalogue, Event
from assay.telemetry.redaction import redact_metadata


class EventLines(LogRecordProcessor):
    """Writes a line for each event of the catalogue. `logging` writes those of all other log records.

    Args:
        catalogue: The events and their fields.
        stream: `stderr` or `stdout`.
    """

    def __init__(self, catalogue: Catalogue, stream: str = "stderr") -> None:
        self._events = catalogue.events
        self._stream = stream

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Write a line if the record is an event of the catalogue."""
        record = log_record.log_record
        event = self._events.get(record.event_name or "")
        if event is None:
            return
        attributes = dict(record.attributes or {})
        line = fields(event, attributes)
        if record.trace_id:
            line["trace_id"] = f"{record.trace_id:032x}"
            line["span_id"] = f"{record.span_id or 0:016x}"
        if keys.ASSAY_CORRELATION_ID in attributes:
            line["correlation_id"] = attributes[keys.ASSAY_CORRELATION_ID]
        line["timestamp"] = timestamp((record.timestamp or record.observed_timestamp or time_ns()) / 1e9)
        self._write(dumps(line) + "\n")

    def shutdown(self) -> None:
        """Do nothing: lines are not buffered."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: lines are not buffered."""
        del timeout_millis
        return True

    def _write(self, line: str) -> None:
        stream = sys.stdout if self._stream == "stdout" else sys.stderr
        if stream is None:  # pyright: ignore[reportUnnecessaryComparison] - under pythonw
            return
        try:
            stream.write(line)
            stream.flush()
        except (OSError, ValueError):
            return  # the reader has gone, or the stream is closed: that must not stop the application


def fields(event: Event, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an event's line.

    Args:
        event: The event in the catalogue.
        attributes: The log record's attributes, by attribute key.
    """
    subsystem = event.name.partition(".")[0]
    short = {one.name: attributes[one.key] for one in event.attributes if one.key in attributes}
    line: dict[str, Any] = {
        "level": event.severity,
        "message": event.body or event.name,
        subsystem: True,
        "event": event.log or event.name,
    }
    clean = redact_metadata(short)
    return line | {key: _rounded(value) for key, value in clean.items() if key not in line}


def _rounded(value: object) -> object:
    """Return a float with three decimals: a duration in ms to the microsecond."""
    return round(value, 3) if isinstance(value, float) else value
