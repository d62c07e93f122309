"""One JSON object a line for each log event of the catalogue (ASSAY_LOGS=json), in the seeds' short fields.

```json
{"level":"info","message":"Materialization started","flowstone":true,"event":"materialization_start"}
```

`level` is in lower case for every subsystem, as in the lines of the app itself.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from assay.distro.jsonlogs import dumps, timestamp
from assay.semconv.catalogue import Catalogue, Event
from assay.telemetry.redaction import redact_metadata

CORRELATION = "assay.correlation_id"


class EventLines(LogRecordProcessor):
    """Writes the events that the catalogue knows; every other log record has its line from `logging` already.

    Args:
        catalogue: Which events there are, and their fields.
        stream: `stderr` or `stdout`.
    """

    def __init__(self, catalogue: Catalogue, stream: str = "stderr") -> None:
        self._events = catalogue.events
        self._stream = stream

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Write one line, if the record is an event of the catalogue."""
        record = log_record.log_record
        event = self._events.get(record.event_name or "")
        if event is None:
            return
        attributes = dict(record.attributes or {})
        line = fields(event, attributes)
        if record.trace_id:
            line["trace_id"] = f"{record.trace_id:032x}"
            line["span_id"] = f"{record.span_id or 0:016x}"
        if CORRELATION in attributes:
            line["correlation_id"] = attributes[CORRELATION]
        line["timestamp"] = timestamp((record.timestamp or record.observed_timestamp or time_ns()) / 1e9)
        self._write(dumps(line) + "\n")

    def shutdown(self) -> None:
        """Nothing is held back."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        del timeout_millis
        return True

    def _write(self, line: str) -> None:
        stream = sys.stdout if self._stream == "stdout" else sys.stderr
        if stream is None:  # pyright: ignore[reportUnnecessaryComparison] - pythonw has none
            return
        try:
            stream.write(line)
            stream.flush()
        except (
            OSError,
            ValueError,
        ):
            return  # the reader has gone, or the stream is closed: no reason to stop an app


def fields(event: Event, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the seed's fields of an event.

    Args:
        event: From the catalogue.
        attributes: Of the log record, by attribute key.
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
    """Return a float without the digits below a microsecond of a `duration_ms`."""
    return round(value, 3) if isinstance(value, float) else value
