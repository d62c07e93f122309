"""What arrived, read at the far end of the way: never from the application.

Series from the Collector's Prometheus endpoint, spans and log events from the files that the exporter host
wrote, audit records from the database, CDEvents from the file sink.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families

SPAN_STATUS_ERROR = 2
SCRAPE_SECONDS = 10


@dataclass(frozen=True)
class Spans:
    """The spans that arrived.

    Args:
        names: Span name to count.
        errors: How many have the status error.
        traces: Trace id to the names of its spans.
        runs: Run id to the ids of the traces that its spans are in.
    """

    names: Counter[str]
    errors: int
    traces: Mapping[str, Counter[str]]
    runs: Mapping[str, set[str]]


@dataclass(frozen=True)
class Series:
    """The series that arrived, as `/metrics` gave them.

    Args:
        families: Names of the families that the registry defines, as scraped.
        samples: Sample name to label sets with values.
    """

    families: list[str]
    samples: Mapping[str, list[tuple[Mapping[str, str], float]]] = field(
        default_factory=dict[str, list[tuple[Mapping[str, str], float]]]
    )

    def by(self, sample: str, label: str) -> Counter[str]:
        """Return a sample's values added up over each value of one label."""
        totals: Counter[str] = Counter()
        for labels, value in self.samples.get(sample, []):
            totals[labels.get(label, "")] += int(value)
        return totals

    def total(self, sample: str) -> int:
        """Return a sample's values added up."""
        return sum(int(value) for _, value in self.samples.get(sample, []))


def scrape(url: str) -> str:
    """Return what a Prometheus endpoint on this machine answers, past any proxy of the environment.

    Raises:
        OSError: It does not answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=SCRAPE_SECONDS) as answer:
        return cast("bytes", answer.read()).decode("utf-8")


def read_series(text: str, prefixes: tuple[str, ...]) -> Series:
    """Return the series of `text` whose names start with one of `prefixes`."""
    families: list[str] = []
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith(prefixes):
            continue
        families.append(f"{family.name}_total" if family.type == "counter" else family.name)
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return Series(sorted(families), samples)


def read_spans(path: Path) -> Spans:
    """Return the spans of a file of OTLP JSON lines."""
    names: Counter[str] = Counter()
    traces: dict[str, Counter[str]] = {}
    runs: dict[str, set[str]] = {}
    errors = 0
    for span in records(path, "resourceSpans", "scopeSpans", "spans"):
        names[span["name"]] += 1
        errors += span.get("status", {}).get("code") in (SPAN_STATUS_ERROR, "STATUS_CODE_ERROR")
        traces.setdefault(span["traceId"], Counter())[span["name"]] += 1
        run_id = attributes(span).get("flowstone.run_id")
        if run_id:
            runs.setdefault(run_id, set()).add(span["traceId"])
    return Spans(names, errors, traces, runs)


def read_logs(path: Path) -> Counter[str]:
    """Return the log events of a file of OTLP JSON lines: event name to count."""
    return Counter(
        record.get("eventName", "") for record in records(path, "resourceLogs", "scopeLogs", "logRecords")
    )


def read_cdevents(path: Path) -> list[dict[str, Any]]:
    """Return the CloudEvents of a file sink, one a line."""
    return list(_lines(path))


def records(path: Path, resources: str, scopes: str, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the spans, log records or metrics of a file of OTLP JSON lines."""
    for line in _lines(path):
        for resource in line.get(resources, []):
            for scope in resource.get(scopes, []):
                yield from scope.get(kind, [])


def attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's attributes as plain values."""
    return {each["key"]: next(iter(each["value"].values()), None) for each in record.get("attributes", [])}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        # A last line without its newline is still being written.
        yield from (json.loads(line) for line in file if line.endswith("\n"))
