"""The demo itself: bring everything up, let the application work, and look at what arrived."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.cli._collector.binary import CollectorBinary, validate
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import Addresses
from assay.cli._demo import audit_log, checks, conformance
from assay.cli._demo.application import Report, run_workload
from assay.cli._demo.arrivals import (
    Series,
    Spans,
    read_cdevents,
    read_logs,
    read_series,
    read_spans,
    scrape,
)
from assay.cli._demo.errors import DemoError
from assay.cli._stack import Folder, HostAddresses, Stack

# The Collector waits for a trace to be whole before it samples; a demo's traces are whole soon.
COLLECTOR_SETTINGS = {
    "ASSAY_COLLECTOR_TRACES_PERCENT": "100",
    "ASSAY_COLLECTOR_TRACES_WAIT": "1s",
    "ASSAY_COLLECTOR_TRACES_WAIT_AFTER_ROOT": "1s",
}
ARRIVAL_SECONDS = 30
PREFIXES = ("flowstone_", "audit_records_")

Say = Callable[[str], None]


@dataclass
class Outcome:
    """Everything the demo saw.

    Args:
        report: What the application itself counted.
        series: What Prometheus would scrape; empty without a Collector.
        spans: The spans that arrived.
        logs: The log events that arrived, by name.
        cdevents: The CDEvents that were sent, by type.
        audit: The audit log, counted and verified.
        invalid_cdevents: What the exporter refused to send, and what the file holds that is not valid.
        mismatches: A line for each thing that differs.
        collector: The JSON object's `collector`.
        seconds: How long it took.
    """

    report: Report
    series: Series = field(default_factory=lambda: Series([]))
    spans: Spans = field(default_factory=lambda: Spans(Counter(), 0, {}, {}))
    logs: Counter[str] = field(default_factory=Counter[str])
    cdevents: Counter[str] = field(default_factory=Counter[str])
    audit: audit_log.AuditLog = field(default_factory=audit_log.AuditLog)
    invalid_cdevents: int = 0
    mismatches: list[str] = field(default_factory=list[str])
    collector: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0

    @property
    def accepted(self) -> int:
        """How many audit records the application was told are accepted.

        By its own counter; without a Collector nobody scrapes that, and it is what the report says was done.
        """
        exported = self.series.total("audit_records_exported_total")
        return exported if self.collector["validated"] else checks.audited(self.report)

    @property
    def failures(self) -> list[str]:
        """A line for each check that does not hold."""
        audit = self.audit
        lines = {
            f"application: it ended with status {self.report.exit}": self.report.exit != 0,
            f"audit log: {audit.failure}": not audit.verified,
            "audit log: a changed letter was not noticed": not audit.tamper_detected,
            f"audit log: {self.accepted} records accepted, {audit.stored} stored": (
                audit.stored != self.accepted
            ),
            f"audit log: {audit.quarantined} entries in quarantine": audit.quarantined != 0,
            f"CDEvents: {self.invalid_cdevents} are not valid or were held back": self.invalid_cdevents != 0,
        }
        return [*self.mismatches, *(line for line, fails in lines.items() if fails)]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        """Return the object that `assay demo --json` prints."""
        report = self.report
        assets = report.assets["started"].keys() - report.assets["checked"].keys()
        return {
            "collector": self.collector,
            "app": {
                "exit": report.exit,
                "assets": len(assets),
                "failed_assets": len(report.assets["failed"]),
                "executors": report.executors,
            },
            "spans": {
                "count": self.spans.names.total(),
                "traces": len(self.spans.traces),
                "errors": self.spans.errors,
                "names": sorted(self.spans.names),
            },
            "metrics": {"families": self.series.families, "mismatches": self.mismatches},
            "logs": {"count": self.logs.total()},
            "audit": self.audit.as_json(self.accepted),
            "cdevents": {
                "sent": self.cdevents.total(),
                "invalid": self.invalid_cdevents,
                "types": sorted(self.cdevents),
            },
            "seconds": round(self.seconds, 1),
        }


def run_demo(root: Path, binary: CollectorBinary | None, say: Say) -> Outcome:
    """Run the whole path in `root` and return what was seen.

    Args:
        root: The folder that everything is left in.
        binary: The Collector; None lets the application speak to the host itself.
        say: Told a line for each step.

    Raises:
        StackError: A port is in use, or the exporter host did not start.
        CollectorError: The Collector refused its configuration, or did not start.
        DemoError: Dagster is not installed, or the application could not be run.
    """
    began = time.monotonic()
    if importlib.util.find_spec("dagster") is None:
        raise DemoError("the demo runs Dagster, which is not installed here: pip install 'assay[flowstone]'")
    folder = Folder(root)
    stack = Stack(folder, binary, Addresses.free(), HostAddresses.free(), COLLECTOR_SETTINGS)
    if binary is not None:
        validate_all_in_one(binary, stack)
        say(f"Collector {binary.version} ({binary.source}): configuration valid, starting")
    with stack.running():
        say("running the Dagster project under opentelemetry-instrument")
        report = run_workload(root, root / "app.log", stack.application_environment())
        say("the application has ended; waiting for what it sent")
        outcome = _settled(folder, stack, report)
    # After the stop, so that the checkpoint that the log signs at its end is seen too.
    outcome.audit = audit_log.examine(folder)
    outcome.invalid_cdevents = conformance.invalid(folder)
    outcome.mismatches = _mismatches(outcome, stack)
    outcome.collector = {
        "version": binary.version if binary else "",
        "source": binary.source if binary else "none",
        "validated": binary is not None,
    }
    outcome.seconds = time.monotonic() - began
    return outcome


def validate_all_in_one(binary: CollectorBinary, stack: Stack) -> None:
    """Let the Collector judge the configuration that the demo runs.

    Raises:
        ConfigurationInvalidError: It refuses it.
    """
    validate(binary.path, COMPOSITIONS["all-in-one"].paths, stack.collector_environment())


def _settled(folder: Folder, stack: Stack, report: Report) -> Outcome:
    """Look until everything has arrived, or the time for it is over."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while True:
        outcome = _look(folder, stack, report)
        if not _mismatches(outcome, stack) or time.monotonic() > deadline:
            return outcome
        time.sleep(0.5)


def _look(folder: Folder, stack: Stack, report: Report) -> Outcome:
    outcome = Outcome(report)
    if stack.binary is not None:
        text = scrape(stack.collector.prometheus_url)
        (folder.root / "metrics.prom").write_text(text, encoding="utf-8")
        outcome.series = read_series(text, PREFIXES)
    outcome.spans = read_spans(folder.traces)
    outcome.logs = read_logs(folder.logs)
    outcome.cdevents = Counter(event["type"] for event in read_cdevents(folder.cdevents))
    outcome.audit = audit_log.count(folder)
    return outcome


def _mismatches(outcome: Outcome, stack: Stack) -> list[str]:
    report = outcome.report
    lines = checks.series_mismatches(report, outcome.series) if stack.binary else []
    lines += checks.span_mismatches(report, outcome.spans)
    lines += checks.audit_mismatches(report, outcome.audit.by_target)
    lines += checks.cdevent_mismatches(report, outcome.cdevents)
    return lines
