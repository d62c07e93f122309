"""`assay show`: look at what `assay up` has received, while it runs and after."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli._folder import DEFAULT_FOLDER, Folder
from assay.cli._show import output
from assay.cli._show.chain import read_chain
from assay.cli._show.runs import Run, matching, recent
from assay.cli._show.trace import read_trace
from assay.cli._show.trail import read_trail
from assay.endpoints import printable
from assay.exporters.audit import AuditLogError, parse_time

_SHOWN_MATCHES = 10


def _unix_seconds(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return parse_time(value).timestamp()
    except AuditLogError as error:
        raise click.BadParameter(printable(str(error)), ctx, parameter) from error


@click.command("show")
@click.argument("run", required=False)
@click.option(
    "--keep",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="The folder of `assay up`.",
)
@click.option(
    "--since",
    metavar="TIME",
    default="1h",
    show_default=True,
    callback=_unix_seconds,
    help="List runs since then: 2026-11-21, 2026-11-21T04:00:00Z, or 90m, 24h, 7d (ago).",
)
@click.option(
    "--spans",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Largest number of spans that are printed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str | None, directory: Path, since: float, spans: int, *, as_json: bool) -> None:
    """List the runs of the last hour, or show one RUN: its trace, audit records and CDEvents.

    RUN is the id of a run or of a trace, or the start of one. Runs are Dagster's runs and the syncs of GitOps
    controllers. Everything is read from the folder of `assay up`, which may be running or not. The exit
    status is 1 if an audit record of the run does not verify.

    \b
    Example:
      assay show
      assay show 4ec81eea
    """
    folder = Folder(directory)
    if not folder.root.is_dir():
        raise click.UsageError(
            f"{printable(str(directory))} does not exist: give the folder of `assay up` with --keep"
        )
    if not run:
        found = recent(folder.logs, round(since * 1e9))
        output.print_runs(found, as_json=as_json)
        return
    one = _one(folder, run)
    trace = read_trace(folder.traces, one.traces)
    trail = read_trail(folder, one.id, one.correlation_ids)
    chain = read_chain(folder, (one.id, *one.correlation_ids))
    output.print_run(one, trace, trail, chain, spans=spans, as_json=as_json, folder=folder)
    if trail.fault or any(entry.proof.state == "unverified" for entry in trail.entries):
        raise click.exceptions.Exit(1)


def _one(folder: Folder, text: str) -> Run:
    """Return the run that an argument names.

    Raises:
        click.UsageError: None, or several.
    """
    runs = matching(folder.logs, text)
    exact = [each for each in runs if each.id == text]
    if len(runs) == 1 or exact:
        return (exact or runs)[0]
    if not runs:
        raise click.UsageError(f"no run or trace starts with {printable(text)}: `assay show` lists the runs")
    names = "".join(f"\n  {printable(each.id)}  {printable(each.name)}" for each in runs[:_SHOWN_MATCHES])
    raise click.UsageError(f"{len(runs)} runs match {printable(text)}:{names}")
