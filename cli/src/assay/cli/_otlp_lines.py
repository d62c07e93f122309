"""Read files of OTLP JSON lines: one export request on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from assay.semconv import attributes as keys


class ScopedRecord(NamedTuple):
    """A span or log record in OTLP JSON, and the name of its instrumentation scope."""

    scope: str
    record: Mapping[str, Any]


def read_lines(path: Path, offset: int = 0) -> Iterator[bytes]:
    """Yield the complete lines of a file from a byte offset on; nothing if the file is missing."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        yield from (line for line in file if line.endswith(b"\n"))


def spans(line: bytes) -> Iterator[ScopedRecord]:
    """Yield the spans of a request."""
    return _records(line, "resourceSpans", "scopeSpans", "spans")


def log_records(line: bytes) -> Iterator[ScopedRecord]:
    """Yield the log records of a request."""
    return _records(line, "resourceLogs", "scopeLogs", "logRecords")


def attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's attributes as plain values."""
    return {each["key"]: next(iter(each["value"].values()), None) for each in record.get("attributes", [])}


def span_event(span: Mapping[str, Any]) -> str:
    """Return the registry's event of a span: an attribute, or the span's name if there is no attribute."""
    return attributes(span).get(keys.ASSAY_SPAN_EVENT) or span["name"]


def _records(line: bytes, resources: str, scopes: str, records: str) -> Iterator[ScopedRecord]:
    for resource in json.loads(line).get(resources, []):
        for scope in resource.get(scopes, []):
            name = scope.get("scope", {}).get("name", "")
            yield from (ScopedRecord(name, record) for record in scope.get(records, []))
