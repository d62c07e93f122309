"""`assay demo`: run an instrumented application on this machine, and check the data that arrives."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from assay.cli._collector.sources import Mode, find_collector
from assay.cli._demo.report import show
from assay.cli._demo.run import run_demo
from assay.cli._options import collector_option, created_folder
from assay.cli._progress import print_progress


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
    help="Folder for all files, new or empty; they are left there. Default: a new temporary folder.",
)
@collector_option
def command(directory: Path | None, mode: Mode, *, as_json: bool) -> None:
    """Run real programs, instrumented, and check the data that arrives.

    A Dagster project, git syncs, a GitOps controller on Kubernetes (if an API server is cached) and a process
    pool run under opentelemetry-instrument. Their spans, series and logs go through an OpenTelemetry
    Collector, approvals, runs, syncs and applies into an audit log, and CDEvents are sent. Every figure is
    counted where the data arrives and compared with the libraries' own counts. The exit status is 0 only if
    every check passes.

    \b
    Example:
      assay demo
      assay demo --json --keep ./demo > demo.json
    """
    root = _empty_folder(directory)
    # SIGTERM stops the services, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    binary = find_collector(mode, report=print_progress)
    begun = time.monotonic()
    outcome = run_demo(root, binary, print_progress)
    print_progress(f"the demo took {time.monotonic() - begun:.0f} s")
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
        for line in outcome.failures:
            print_progress(f"failed check: {line}")
    else:
        show(outcome, root, Console())
    sys.exit(0 if outcome.passed else 1)


def _empty_folder(directory: Path | None) -> Path:
    """Return the given folder, or a new temporary one.

    Raises:
        click.BadParameter: The given folder cannot be created, or is not empty.
    """
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="assay-demo-"))
    root = created_folder(directory)
    if any(root.iterdir()):
        raise click.BadParameter(f"{root} is not empty: name a new folder, or empty it", param_hint="--keep")
    return root
