"""What the demo says to people: the fact's way, in its order, with what was counted at each stop."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from assay.cli._demo.run import Outcome
from assay.cli._stack import Folder


def show(outcome: Outcome, root: Path, console: Console) -> None:
    """Print the way, the checks, and the commands to go on with."""
    facts = outcome.as_json()
    if facts["collector"]["source"] == "none":
        console.print(_WITHOUT, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for stop, text in _way(outcome):
        console.print(f"[bold]{stop:<12}[/bold] {escape(text)}", highlight=False, soft_wrap=True)
    _show_checks(outcome, console)
    _show_next(Folder(root), console)
    if facts["collector"]["source"] == "none":
        console.print(_WITHOUT, style="yellow", markup=False, highlight=False, soft_wrap=True)


_WITHOUT = (
    "No Collector stood in the way of these facts: the SDK spoke to the exporter host itself. Five ways to "
    "get one: set ASSAY_COLLECTOR to its path; run `assay collector build`, which caches one; put "
    "otelcol-contrib on PATH; install Go, and it is built; install the docker SDK, and it is taken from the "
    "official image."
)


def _way(outcome: Outcome) -> list[tuple[str, str]]:
    report, audit = outcome.report, outcome.audit
    collector, spans = outcome.collector, outcome.spans
    ended = sum(run["status"] == "SUCCESS" for run in report.runs.values())
    retried, failed = report.total("retried"), report.total("failed")
    steps = f"{report.total('started')} steps, {retried} retried, {failed} failed for good"
    runs = f"{len(report.runs)} runs ({ended} succeeded) over {' and '.join(report.executors)}"
    verdict = "verified" if audit.verified else f"NOT VERIFIED: {audit.failure}"
    caught = f"caught: {audit.tampering}" if audit.tamper_detected else "NOT caught"
    sent = f"{outcome.cdevents.total()} sent, {outcome.invalid_cdevents} invalid"
    records = f"{audit.stored} records of {outcome.accepted} accepted, {audit.quarantined} quarantined"
    return [
        ("application", f"Dagster ran {runs}: {steps}"),
        ("Collector", f"{collector['version']} ({collector['source']})" if collector["version"] else "none"),
        ("spans", f"{spans.names.total()} in {len(spans.traces)} traces, {spans.errors} with errors"),
        ("series", f"{len(outcome.series.families)} families on the Collector's Prometheus endpoint"),
        ("log events", f"{outcome.logs.total()} of {len(outcome.logs)} kinds"),
        ("audit log", f"{records}; {verdict}"),
        ("tampering", f"one letter changed in a copy, and {caught}"),
        ("CDEvents", f"{sent}, {len(outcome.cdevents)} types"),
    ]


def _show_checks(outcome: Outcome, console: Console) -> None:
    if outcome.holds:
        console.print(
            f"\n[green]Every figure is what Dagster itself counted[/green] ({outcome.seconds:.0f} s)",
            highlight=False,
        )
        return
    console.print("\n[red]What does not hold:[/red]")
    for line in outcome.failures:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _show_next(folder: Folder, console: Console) -> None:
    console.print("\nGo on with:")
    assay = "assay" if shutil.which("assay") else str(Path(sys.executable).with_name("assay"))
    for command in (
        f"audit query --db {folder.database}",
        f"audit verify --db {folder.database} --key {folder.verifier_key}",
        f"audit verify-proof {folder.audit / 'proof.json'} --key {folder.verifier_key}",
        f"cdevents validate {folder.cdevents}",
        "up",
    ):
        console.print(f"  {assay} {command}", markup=False, highlight=False, soft_wrap=True)
