"""Programs with worker pools under `opentelemetry-instrument`, and the far end of `assay up`."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._addresses import StackAddresses
from assay.cli._demo.arrivals import Series, read_cdevents, read_series, scrape
from assay.cli._folder import Folder
from assay.cli._stack import Stack
from assay.instrumentation.testing import clean_environment, run_instrumented, wait_until

QUIET_SECONDS = 3.0
"""The far end has everything once its files have not changed for so long after the program has ended."""
COLLECTOR_SETTINGS = {
    "ASSAY_COLLECTOR_TRACES_PERCENT": "100",
    "ASSAY_COLLECTOR_TRACES_WAIT": "1s",
    "ASSAY_COLLECTOR_TRACES_WAIT_AFTER_ROOT": "1s",
}


@dataclass(frozen=True)
class FarEnd:
    """What arrives behind the Collector.

    Args:
        stack: The services.
    """

    stack: Stack

    @property
    def folder(self) -> Folder:
        """The folder of the services."""
        return self.stack.folder

    def run(self, program: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program in its own folder, and wait until the far end has everything that it sent."""
        settings = {**self.stack.application_environment(), "OPENBLAS_NUM_THREADS": "1", **variables}
        done = run_instrumented(
            "python", program, environment=clean_environment(**settings), folder=program.parent, timeout=300
        )
        assert done.returncode == 0, done.stderr
        self._settle()
        return done

    def spans(self, event: str) -> list[dict[str, Any]]:
        """Return the spans of an event of the registry, with their attributes under `has`."""
        return [
            {**span, "has": otlp_lines.attributes(span)}
            for line in otlp_lines.read_lines(self.folder.traces)
            for _, span in otlp_lines.spans(line)
            if otlp_lines.span_event(span) == event
        ]

    def logs(self, event: str) -> list[dict[str, Any]]:
        """Return the attributes of the log events of a name."""
        return [
            otlp_lines.attributes(record)
            for line in otlp_lines.read_lines(self.folder.logs)
            for _, record in otlp_lines.log_records(line)
            if record.get("eventName") == event
        ]

    def series(self) -> Series:
        """Return the series of Snakepit."""
        return read_series(scrape(self.stack.host.prometheus_url), ("snakepit_",))

    def cdevents(self, kind: str) -> Counter[str]:
        """Return the subjects of the CDEvents of a kind such as `incident.detected`."""
        return Counter(
            event["data"]["subject"]["id"]
            for event in read_cdevents(self.folder.cdevents)
            if event["type"].startswith(f"dev.cdevents.{kind}.")
        )

    def _settle(self) -> None:
        since, before = time.monotonic(), self._sizes()

        def is_quiet() -> bool:
            nonlocal since, before
            now = self._sizes()
            if now != before:
                since, before = time.monotonic(), now
            return time.monotonic() - since >= QUIET_SECONDS

        wait_until(is_quiet, interval=0.2)

    def _sizes(self) -> list[int]:
        folder = self.folder
        databases = (folder.database, folder.series)
        logs = [each.with_name(f"{each.name}-wal") for each in databases]
        files = (folder.traces, folder.logs, folder.cdevents, *databases, *logs)
        return [each.stat().st_size if each.exists() else 0 for each in files]


@pytest.fixture(scope="module")
def far_end(collector_binary, tmp_path_factory) -> Iterator[FarEnd]:
    """Return the far end of `assay up`."""
    addresses = StackAddresses.free()
    stack = Stack(
        Folder(tmp_path_factory.mktemp("far")),
        collector_binary,
        addresses.collector,
        addresses.host,
        COLLECTOR_SETTINGS,
        zero_seconds=0,
    )
    with stack.running():
        yield FarEnd(stack)
