"""`assay doctor`: what would be instrumented here, what can be reached, and what is to be mended."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from assay.distro.diagnosis import Finding

_COLOURS = {"ok": "green", "skipped": "dim", "warning": "yellow", "error": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> None:
    """Say what would be instrumented here, what can be reached, and what to mend.

    Looks at this environment's variables, installed packages and endpoints; exits 1 if something is wrong.

    \b
    Example:
      assay doctor
      OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example:4318 assay doctor --json
    """
    from assay.distro.diagnosis import diagnose  # noqa: PLC0415 - imports every instrumentation's metadata

    findings = [*diagnose(), _collector()]
    holds = all(finding.status != "error" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": holds, "findings": [finding.as_dict() for finding in findings]}))
    elif sys.stdout.isatty():
        _print_table(findings)
    else:
        for finding in findings:
            click.echo(_line(finding))
    if not holds:
        raise SystemExit(1)


def _collector() -> Finding:
    from assay.cli._collector.errors import CollectorError  # noqa: PLC0415 - what doctor's help needs not
    from assay.cli._collector.sources import PRESENT, find_collector  # noqa: PLC0415 - as above
    from assay.distro.diagnosis import Finding  # noqa: PLC0415 - as above

    try:
        binary = find_collector("require", sources=PRESENT)
    except CollectorError as error:
        status = "error" if os.environ.get("ASSAY_COLLECTOR") else "warning"  # that one was asked for
        return Finding("collector", "binary", status, str(error), "assay collector build")
    if binary is None:
        return Finding("collector", "binary", "warning", "none on this machine", "assay collector build")
    return Finding(
        "collector", "binary", "ok", f"{binary.path} (from {binary.source}, version {binary.version})"
    )


def _line(finding: Finding) -> str:
    remedy = f"  → {finding.remedy}" if finding.remedy else ""
    return f"{finding.status:8} {finding.area:16} {finding.name}: {finding.detail}{remedy}"


def _print_table(findings: Iterable[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415 - on a terminal only
    from rich.markup import escape  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table("", "what", "found", "how to mend it")
    for finding in findings:
        colour = _COLOURS[finding.status]
        table.add_row(
            f"[{colour}]{finding.status}[/]",
            escape(f"{finding.area} {finding.name}"),
            escape(finding.detail),
            escape(finding.remedy),
        )
    Console().print(table)
