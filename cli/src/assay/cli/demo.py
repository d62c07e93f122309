"""`assay demo`: a fact's whole way on this machine, and what arrived."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from assay.cli._collector.sources import Mode, find_collector
from assay.cli._demo.report import show
from assay.cli._demo.run import run_demo


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
    help="Leave everything in this folder, which must be new or empty.",
)
@click.option(
    "--collector",
    "mode",
    type=click.Choice(["auto", "require", "none"]),
    default="auto",
    show_default=True,
    help="When no Collector can be had: auto goes on without, require fails; none does not look.",
)
def command(directory: Path | None, mode: Mode, *, as_json: bool) -> None:
    """Run a real Dagster project, instrumented, and show what arrived where.

    Dagster runs under opentelemetry-instrument; spans, series and logs go through an OpenTelemetry
    Collector; approvals and runs arrive in an audit log; CDEvents come out. Every figure is counted at the
    far end and compared with what Dagster itself counted. Exits 0 only if all of it holds.

    \b
    Example:
      assay demo
      assay demo --json --keep ./demo > demo.json
    """  # noqa: D301  click keeps what follows a backspace as it is
    root = _prepared(directory)
    # Lines of a service are not markup, and a path is not to be broken.
    say = partial(Console(stderr=True).print, markup=False, highlight=False, soft_wrap=True)
    binary = find_collector(mode, report=say)
    outcome = run_demo(root, binary, say)
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        show(outcome, root, Console())
    sys.exit(0 if outcome.holds else 1)


def _prepared(directory: Path | None) -> Path:
    """Return an empty folder.

    Raises:
        click.BadParameter: The folder that was named holds something.
    """
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="assay-demo-"))
    root = directory.absolute()
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise click.BadParameter(f"{root} is not empty: name a new folder, or empty it", param_hint="--keep")
    return root
