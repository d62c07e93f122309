"""`assay doctor`: report the instrumentations, endpoints and settings of this environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from assay.endpoints import printable_json

if TYPE_CHECKING:
    from assay.distro.diagnosis import Finding

_COLOURS = {"ok": "green", "skipped": "dim", "warning": "yellow", "error": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> None:
    """Report what would be instrumented, which endpoints answer, and which settings are wrong.

    It examines this environment's variables, installed packages and endpoints. The exit status is 1 if there
    is an error.

    \b
    Example:
      assay doctor
      OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example:4318 assay doctor --json
    """
    from assay.distro.diagnosis import diagnose  # noqa: PLC0415 - imports every instrumentation's metadata

    findings = [*diagnose(), _collector()]
    is_ok = all(finding.status != "error" for finding in findings)
    if as_json:
        found = {"ok": is_ok, "findings": [finding.as_dict() for finding in findings]}
        click.echo(printable_json(json.dumps(found)))
    elif sys.stdout.isatty():
        _print_table(findings)
    else:
        for finding in findings:
            click.echo(_line(finding))
    if not is_ok:
        raise SystemExit(1)


def _collector() -> Finding:
    from assay.cli._collector.errors import CollectorError  # noqa: PLC0415 - not needed by --help
    from assay.cli._collector.sources import PRESENT, find_collector  # noqa: PLC0415
    from assay.distro.diagnosis import Finding  # noqa: PLC0415

    try:
        binary = find_collector("require", sources=PRESENT)
    except CollectorError as error:
        status = "error" if os.environ.get("ASSAY_COLLECTOR") else "warning"  # the variable requires it
        return Finding("collector", "binary", status, str(error), "assay collector build")
    if binary is None:
        return Finding("collector", "binary", "warning", "not found on this machine", "assay collector build")
    return Finding(
        "collector", "binary", "ok", f"{binary.path} (from {binary.source}, version {binary.version})"
    )


def _line(finding: Finding) -> str:
    remedy = f"  → {finding.remedy}" if finding.remedy else ""
    return f"{finding.status:8} {finding.area:16} {finding.name}: {finding.detail}{remedy}"


def _print_table(findings: Iterable[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415 - needed on a terminal only
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("status", "subject", "finding", "remedy")
    for finding in findings:
        colour = _COLOURS[finding.status]
        table.add_row(
            f"[{colour}]{finding.status}[/]",
            escape(f"{finding.area} {finding.name}"),
            escape(finding.detail),
            escape(finding.remedy),
        )
    Console().print(table)
