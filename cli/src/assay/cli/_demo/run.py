"""Run the demo: start the services, run the application, and check the data that arrived."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.cli._addresses import StackAddresses
from assay.cli._collector.binary import CollectorBinary, validate
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._demo import audit_log, checks, conformance
from assay.cli._demo.application import SERVICE, WorkloadResult, run_workload
from assay.cli._demo.arrivals import (
    Series,
    Spans,
    read_cdevents,
    read_log_events,
    read_spans,
    scrape,
)
from assay.cli._demo.errors import DemoError
from assay.cli._demo.increases import IncreaseReader, increase_reader
from assay.cli._demo.programs import ProgramResults, run_programs
from assay.cli._demo.subsystems import Subsystem, find_arrived
from assay.cli._folder import Folder
from assay.cli._progress import ReportProgress
from assay.cli._stack import Stack

# The Collector samples a trace when it is complete, and the demo's traces are complete soon.
COLLECTOR_SETTINGS = {
    "ASSAY_COLLECTOR_TRACES_PERCENT": "100",
    "ASSAY_COLLECTOR_TRACES_WAIT": "1s",
    "ASSAY_COLLECTOR_TRACES_WAIT_AFTER_ROOT": "1s",
}
ARRIVAL_SECONDS = 30
PREFIXES = ("flowstone_", "alumiini_", "snakepit_", "audit_records_")


@dataclass
class Outcome:
    """The outcome of the demo.

    Args:
        workload: The application's own counts.
        series: The increase of each series.
        increase_source: Who computed the increases.
        spans: The spans that arrived.
        logs: The log events that arrived, by name.
        cdevents: The CDEvents that were sent, by type.
        audit: The audit log, counted and verified.
        programs: The counts of git, of the API server and of the pool itself.
        invalid_cdevents: Number of invalid CDEvents in the file, plus those that the exporter did not send.
        mismatches: A line for each difference from the application's counts.
        collector: The member `collector` of the JSON object.
        seconds: Duration of the demo.
    """

    workload: WorkloadResult
    series: Series = field(default_factory=lambda: Series([]))
    increase_source: str = ""
    spans: Spans = field(default_factory=Spans)
    logs: Counter[str] = field(default_factory=Counter[str])
    cdevents: Counter[str] = field(default_factory=Counter[str])
    audit: audit_log.AuditLog = field(default_factory=audit_log.AuditLog)
    programs: ProgramResults = field(default_factory=ProgramResults)
    invalid_cdevents: int = 0
    mismatches: list[str] = field(default_factory=list[str])
    collector: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0

    @property
    def has_collector(self) -> bool:
        """Whether a Collector ran."""
        return bool(self.collector["validated"])

    @property
    def accepted(self) -> int:
        """Number of audit records that the applications' queues accepted, by the applications' counters."""
        return self.accepted_from.total()

    @property
    def accepted_from(self) -> Counter[str]:
        """The number of accepted audit records by service."""
        accepted = self.series.by("audit_records_emitted_total", "job")
        accepted.subtract(self.series.by("audit_records_dropped_total", "job"))
        return accepted

    @property
    def subsystems(self) -> dict[str, Subsystem]:
        """The names of each subsystem's seed that have arrived, and those that have not."""
        events = self.spans.events.keys() | self.logs.keys()
        return find_arrived(events, self.series.families, self.programs.not_run)

    @property
    def failures(self) -> list[str]:
        """A line for each failed check."""
        audit = self.audit
        lines = {
            f"application: it exited with status {self.workload.exit}": self.workload.exit != 0,
            f"audit log: {audit.failure}": not audit.verified,
            "audit log: a changed letter was not detected": not audit.tamper_detected,
            f"audit log: {self.accepted} records accepted, {audit.stored} stored": (
                audit.stored != self.accepted
            ),
            f"audit log: {audit.quarantined} entries in quarantine": audit.quarantined != 0,
            f"CDEvents: {self.invalid_cdevents} are invalid or were not sent": self.invalid_cdevents != 0,
        }
        return [*self.mismatches, *(line for line, fails in lines.items() if fails)]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        """Return the object that `assay demo --json` prints."""
        workload = self.workload
        assets = workload.assets["started"].keys() - workload.assets["checked"].keys()
        return {
            "collector": self.collector,
            "app": {
                "exit": workload.exit,
                "assets": len(assets),
                "failed_assets": len(workload.assets["failed"]),
                "executors": workload.executors,
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
            "subsystems": {name: found.as_json() for name, found in self.subsystems.items()},
            "seconds": round(self.seconds, 1),
        }


def run_demo(root: Path, binary: CollectorBinary | None, report: ReportProgress) -> Outcome:
    """Run the demo and return its outcome.

    Args:
        root: Folder for all files; they are left there.
        binary: The Collector; None makes the application send to the exporter host directly.
        report: Called for each step.

    Raises:
        StackError: A port is in use, or the exporter host did not start.
        CollectorError: The Collector rejected its configuration, or did not start.
        DemoError: Dagster is not installed, or the application failed.
    """
    start = time.monotonic()
    if importlib.util.find_spec("dagster") is None:
        raise DemoError("the demo runs Dagster, which is not installed: pip install 'assay[flowstone]'")
    folder = Folder(root)
    addresses = StackAddresses.free()
    stack = Stack(folder, binary, addresses.collector, addresses.host, COLLECTOR_SETTINGS, zero_seconds=0)
    if binary is not None:
        validate(binary.path, COMPOSITIONS["all-in-one"].paths, stack.collector_environment())
        report(f"Collector {binary.version} ({binary.source}): configuration valid, starting")
    with (
        stack.running(),
        increase_reader(folder, stack.host.metrics, stack.host.prometheus_url) as increases,
    ):
        environment = stack.application_environment()
        programs = run_programs(root, environment, report, lambda: increases.read(PREFIXES))
        report("running the Dagster project under opentelemetry-instrument")
        workload = run_workload(root, root / "app.log", environment)
        report("the applications have ended; waiting for their telemetry")
        outcome = _wait_for_arrivals(folder, stack, increases, Outcome(workload, programs=programs))
    # After the stop, because the log signs its last checkpoint when it closes.
    outcome.audit = audit_log.examine(folder)
    outcome.invalid_cdevents = conformance.count_invalid(folder)
    outcome.mismatches = _mismatches(outcome)
    outcome.collector = {
        "version": binary.version if binary else "",
        "source": binary.source if binary else "none",
        "validated": binary is not None,
    }
    outcome.seconds = time.monotonic() - start
    return outcome


def _wait_for_arrivals(folder: Folder, stack: Stack, increases: IncreaseReader, outcome: Outcome) -> Outcome:
    """Read the arrived data until it matches the applications' counts, or time is up.

    Args:
        folder: Folder of the demo's files.
        stack: The services.
        increases: Reads the series.
        outcome: What the applications have counted.
    """
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while True:
        _read_arrivals(folder, stack, increases, outcome)
        is_complete = not _mismatches(outcome) and outcome.audit.stored == outcome.accepted
        if is_complete or time.monotonic() > deadline:
            return outcome
        time.sleep(0.5)


def _read_arrivals(folder: Folder, stack: Stack, increases: IncreaseReader, outcome: Outcome) -> None:
    outcome.increase_source = increases.source
    folder.page.write_text(scrape(stack.host.prometheus_url), encoding="utf-8")
    outcome.series = increases.read(PREFIXES)
    outcome.spans = read_spans(folder.traces)
    outcome.logs = read_log_events(folder.logs)
    outcome.cdevents = Counter(event["type"] for event in read_cdevents(folder.cdevents))
    outcome.audit = audit_log.count(folder)


def _mismatches(outcome: Outcome) -> list[str]:
    workload = outcome.workload
    lines = checks.series_mismatches(workload, outcome.series)
    lines += checks.accepted_mismatches(workload, outcome.accepted_from[SERVICE])
    lines += checks.span_mismatches(workload, outcome.spans)
    lines += checks.audit_mismatches(workload, outcome.audit.by_target)
    lines += checks.cdevent_mismatches(workload, outcome.cdevents)
    lines += checks.program_mismatches(outcome.programs, outcome.series)
    lines += checks.stored_mismatches(outcome.audit.by_target, outcome.logs)
    return [*lines, *(line for found in outcome.subsystems.values() for line in found.mismatches)]
