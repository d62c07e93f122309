"""`assay demo`: a fact's whole way on this machine, and what arrived."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from assay.cli._collector.sources import Mode, find_collector
from assay.cli._demo.report import show
from assay.cli._demo.run import run_demo
from assay.cli._options import collector_option, made_folder, say


@click.command("demo")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object on standard output, progress on standard error.",
)
@click.option(
    "--keep",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave everything in this folder, which must be new or empty. Default: a new temporary folder.",
)
@collector_option
def command(directory: Path | None, mode: Mode, *, as_json: bool) -> None:
    """Run a real Dagster project, instrumented, and show what arrived where.

    Dagster runs under opentelemetry-instrument; spans, series and logs go through an OpenTelemetry
    Collector; approvals and runs arrive in an audit log; CDEvents come out. Every figure is counted at the
    far end and compared with what Dagster itself counted. Exits 0 only if all of it holds.

    \b
    Example:
      assay demo
      assay demo --json --keep ./demo > demo.json
    """
    root = _prepared(directory)
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    binary = find_collector(mode, report=say)
    outcome = run_demo(root, binary, say)
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
        for line in outcome.failures:
            say(f"does not hold: {line}")
    else:
        show(outcome, root, Console())
    sys.exit(0 if outcome.holds else 1)


def _prepared(directory: Path | None) -> Path:
    """Return an empty folder.

    Raises:
        click.BadParameter: The folder that was named cannot be made, or holds something.
    """
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="assay-demo-"))
    root = made_folder(directory)
    if any(root.iterdir()):
        raise click.BadParameter(f"{root} is not empty: name a new folder, or empty it", param_hint="--keep")
    return root
