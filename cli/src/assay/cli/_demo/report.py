"""Print the demo's outcome: the counts at each stage from the application to the CDEvents."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from assay.cli._demo.checks import RUN_SUCCEEDED
from assay.cli._demo.run import Outcome
from assay.cli._demo.subsystems import Subsystem
from assay.cli._folder import Folder

_NO_COLLECTOR = (
    "No Collector: the application sent to the exporter host directly. Five ways to "
    "get a Collector: set ASSAY_COLLECTOR to its path; run `assay collector build`; put otelcol-contrib on "
    "PATH; install Go, and the demo builds it; install the docker SDK, and the demo copies it from the "
    "official image."
)


def show(outcome: Outcome, root: Path, console: Console) -> None:
    """Print the stages, the failed checks, and the commands to try next."""
    if not outcome.has_collector:
        _show_missing_collector(console)
    for stage, text in _stages(outcome):
        console.print(f"[bold]{stage:<12}[/bold] {escape(text)}", highlight=False, soft_wrap=True)
    _show_checks(outcome, console)
    _show_next(Folder(root), console)
    if not outcome.has_collector:
        _show_missing_collector(console)


def _show_missing_collector(console: Console) -> None:
    console.print(_NO_COLLECTOR, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _stages(outcome: Outcome) -> list[tuple[str, str]]:
    workload, audit = outcome.workload, outcome.audit
    collector, spans = outcome.collector, outcome.spans
    succeeded = sum(run["status"] == RUN_SUCCEEDED for run in workload.runs.values())
    retried, failed = workload.total("retried"), workload.total("failed")
    steps = f"{workload.total('started')} steps, {retried} retried, {failed} failed for good"
    runs = f"{len(workload.runs)} runs ({succeeded} succeeded) over {' and '.join(workload.executors)}"
    series = f"{len(outcome.series.families)} families; each figure is {outcome.increase_source}"
    verdict = "verified" if audit.verified else f"NOT VERIFIED: {audit.failure}"
    detected = f"detected: {audit.tampering}" if audit.tamper_detected else "NOT detected"
    sent = f"{outcome.cdevents.total()} sent, {outcome.invalid_cdevents} invalid"
    records = f"{audit.stored} records of {outcome.accepted} accepted, {audit.quarantined} quarantined"
    return [
        ("application", f"Dagster ran {runs}: {steps}"),
        ("Collector", f"{collector['version']} ({collector['source']})" if collector["version"] else "none"),
        ("spans", f"{spans.names.total()} in {len(spans.traces)} traces, {spans.errors} with errors"),
        ("series", series),
        ("log events", f"{outcome.logs.total()} of {len(outcome.logs)} kinds"),
        ("audit log", f"{records}; {verdict}"),
        ("tampering", f"one letter changed in a copy, {detected}"),
        ("CDEvents", f"{sent}, {len(outcome.cdevents)} types"),
        *((name, _arrived(found)) for name, found in outcome.subsystems.items()),
    ]


def _arrived(found: Subsystem) -> str:
    text = f"{found.events} events and {found.series} series of its design"
    missing = f"; missing: {', '.join(found.missing)}" if found.missing else ""
    not_run = "".join(f"; not run: {reason}" for reason in found.not_run)
    return f"{text}{missing}{not_run}"


def _show_checks(outcome: Outcome, console: Console) -> None:
    if outcome.passed:
        console.print(
            f"\n[green]Every figure equals the count of the library itself[/green] ({outcome.seconds:.0f} s)",
            highlight=False,
        )
        return
    console.print("\n[red]Failed checks:[/red]")
    for line in outcome.failures:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _show_next(folder: Folder, console: Console) -> None:
    console.print("\nTry next:")
    assay = "assay" if shutil.which("assay") else str(Path(sys.executable).with_name("assay"))
    for command in (
        f"audit query --db {folder.database}",
        f"audit verify --db {folder.database} --key {folder.verifier_key}",
        f"audit verify-proof {folder.proof} --key {folder.verifier_key}",
        f"cdevents validate {folder.cdevents}",
        "up",
    ):
        console.print(f"  {assay} {command}", markup=False, highlight=False, soft_wrap=True)
