"""Read the data that arrived at the end of the pipelines.

Series come from the metrics exporter, spans and log events from the exporter host's files, CDEvents from the
file sink. The audit log and the increases of the series have modules of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._loopback import fetch

SPAN_STATUS_ERROR = 2
SCRAPE_SECONDS = 10


@dataclass(frozen=True)
class Spans:
    """The spans that arrived.

    Args:
        names: Span name to count.
        events: Event of the registry to count; a span's name may be made from a template.
        errors: Number of spans with the status error.
        traces: Trace id to the names of its spans.
        runs: Run id to the ids of the traces of its spans.
    """

    names: Counter[str] = field(default_factory=Counter[str])
    events: Counter[str] = field(default_factory=Counter[str])
    errors: int = 0
    traces: Mapping[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    runs: Mapping[str, set[str]] = field(default_factory=dict[str, set[str]])


@dataclass(frozen=True)
class Series:
    """The series of a `/metrics` response, or their increases.

    Args:
        families: Names of the metric families that the registry defines, as scraped.
        samples: Sample name to label sets with values.
    """

    families: list[str]
    samples: Mapping[str, list[tuple[Mapping[str, str], float]]] = field(
        default_factory=dict[str, list[tuple[Mapping[str, str], float]]]
    )

    def by(self, sample: str, label: str) -> Counter[str]:
        """Return the sums of a sample's values for each value of one label."""
        totals: Counter[str] = Counter()
        for labels, value in self.samples.get(sample, []):
            totals[labels.get(label, "")] += round(value)
        return totals

    def total(self, sample: str) -> int:
        """Return the sum of a sample's values."""
        return sum(round(value) for _, value in self.samples.get(sample, []))


def scrape(url: str, *, as_prometheus: bool = False) -> str:
    """Return the response of a Prometheus endpoint on this machine.

    Args:
        url: The endpoint's URL.
        as_prometheus: Whether to send the header that Prometheus sends: a new series is then 0 at first.

    Raises:
        OSError: The endpoint cannot be reached, or it answers with an error status.
    """
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(SCRAPE_SECONDS)} if as_prometheus else {}
    return fetch(url, timeout=SCRAPE_SECONDS, headers=headers)


def read_series(text: str, prefixes: tuple[str, ...]) -> Series:
    """Return the series in a `/metrics` response whose names start with one of `prefixes`."""
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
    """Return the spans in a file of OTLP JSON lines."""
    names: Counter[str] = Counter()
    events: Counter[str] = Counter()
    traces: dict[str, Counter[str]] = {}
    runs: dict[str, set[str]] = {}
    errors = 0
    for line in otlp_lines.read_lines(path):
        for _, span in otlp_lines.spans(line):
            names[span["name"]] += 1
            events[otlp_lines.span_event(span)] += 1
            errors += span.get("status", {}).get("code") in (SPAN_STATUS_ERROR, "STATUS_CODE_ERROR")
            traces.setdefault(span["traceId"], Counter())[span["name"]] += 1
            run_id = otlp_lines.attributes(span).get("flowstone.run_id")
            if run_id:
                runs.setdefault(run_id, set()).add(span["traceId"])
    return Spans(names, events, errors, traces, runs)


def read_log_events(path: Path) -> Counter[str]:
    """Return the log events in a file of OTLP JSON lines: event name to count."""
    return Counter(
        record.get("eventName", "")
        for line in otlp_lines.read_lines(path)
        for _, record in otlp_lines.log_records(line)
    )


def read_cdevents(path: Path) -> list[dict[str, Any]]:
    """Return the CloudEvents in the file of a file sink, which has one event a line."""
    return [json.loads(line) for line in otlp_lines.read_lines(path)]
