"""Read files of JSON lines that may be growing, above all of OTLP: one export request on each line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from assay.semconv import attributes as keys

LONGEST = 2**26
"""Bytes of the longest line that `objects_with` reads: more than the exporter host writes."""


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


def objects_with(path: Path, needles: Collection[bytes]) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of the lines of a file that contain one of some texts.

    A last line that is still being written, a line that a crash has cut, and one that is too long are left
    out. A missing file has no lines.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        while line := file.readline(LONGEST):
            if not line.endswith(b"\n"):
                _skip_rest(file)
            elif any(needle in line for needle in needles):
                with suppress(ValueError, RecursionError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield cast("dict[str, Any]", found)


def _skip_rest(file: BinaryIO) -> None:
    while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
        pass


def spans(request: bytes | Mapping[str, Any]) -> Iterator[ScopedRecord]:
    """Yield the spans of a request."""
    return _records(request, "resourceSpans", "scopeSpans", "spans")


def log_records(request: bytes | Mapping[str, Any]) -> Iterator[ScopedRecord]:
    """Yield the log records of a request."""
    return _records(request, "resourceLogs", "scopeLogs", "logRecords")


def attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's attributes as plain values."""
    return {
        each["key"]: next(iter(each.get("value", {}).values()), None) for each in record.get("attributes", [])
    }


def span_event(span: Mapping[str, Any]) -> str:
    """Return the registry's event of a span: an attribute, or the span's name if there is no attribute."""
    return attributes(span).get(keys.ASSAY_SPAN_EVENT) or span["name"]


def _records(
    request: bytes | Mapping[str, Any], resources: str, scopes: str, records: str
) -> Iterator[ScopedRecord]:
    decoded: Mapping[str, Any] = json.loads(request) if isinstance(request, bytes) else request
    for resource in decoded.get(resources, []):
        for scope in resource.get(scopes, []):
            name = scope.get("scope", {}).get("name", "")
            yield from (ScopedRecord(name, record) for record in scope.get(records, []))
