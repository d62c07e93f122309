"""Runs, and one run, on a terminal or in a pipe, and as JSON. Nothing in them steers the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from assay.cli._folder import Folder
from assay.cli._show.chain import Chain
from assay.cli._show.runs import Run
from assay.cli._show.trace import Span, Trace
from assay.cli._show.trail import Entry, Proof, Trail
from assay.endpoints import printable, printable_json

_STYLES = {
    "success": "green",
    "verified": "green",
    "delivered": "green",
    "failure": "red",
    "unverified": "red",
    "dead": "red",
}
_OTHER_STYLE = "yellow"
_IN_A_PIPE = 10_000
"""Columns of the output in a pipe: nothing is folded there."""
_MINUTE = 60
_ERROR_CHARACTERS = 160


def print_runs(runs: Sequence[Run], *, as_json: bool) -> None:
    """Print a list of runs."""
    if as_json:
        _print_json({"runs": [_run_members(run) for run in runs]})
        return
    if not runs:
        click.echo("no runs: see --since, and `assay up` for how an application sends here", err=True)
        return
    table = _table("started", "outcome", "took", "run", "id")
    for run in runs:
        table.add_row(
            _clock(run.started or run.updated),
            _state(run.outcome),
            _took(run.seconds),
            _title(run),
            _text(run.id),
        )
    _console().print(table)


def print_run(  # noqa: PLR0913 - what is known of a run
    run: Run,
    trace: Trace,
    trail: Trail,
    chain: Chain,
    *,
    spans: int,
    as_json: bool,
    folder: Folder,
) -> None:
    """Print a run.

    Args:
        run: The run.
        trace: Its spans.
        trail: Its audit records.
        chain: Its CDEvents.
        spans: Largest number of spans in the tree.
        as_json: Whether to print one JSON object with everything.
        folder: Where all of it is from.
    """
    if as_json:
        _print_json(
            {
                "run": _run_members(run),
                "spans": [_span_members(span) for span, _ in _walk(trace.roots)],
                "spans_left_out": trace.left_out,
                "audit": {**asdict(trail), "key": str(folder.verifier_key)},
                "chains": chain.ids,
                "cdevents": [asdict(event) for event in chain.events],
                "cdevents_left_out": chain.left_out,
            }
        )
        return
    console = _console()
    console.print(
        Text.assemble(_title(run), f"  {printable(run.id)}  ", _state(run.outcome), f"  {_took(run.seconds)}")
    )
    if run.error:
        console.print(_text(_short(run.error), "red"))
    _print_trace(console, run, trace, spans)
    _print_trail(console, trail, folder)
    _print_chain(console, run, chain)


def _print_trace(console: Console, run: Run, trace: Trace, limit: int) -> None:
    _heading(console, "trace", " ".join(sorted(run.traces)))
    if not trace.count:
        console.print("  no spans: they have not arrived yet, or the Collector has not sampled the trace")
        return
    console.print(_tree(trace.roots, limit))
    hidden = trace.count - limit
    if hidden > 0:
        console.print(f"  {hidden} more spans: --spans {trace.count}")
    if trace.left_out:
        console.print(f"  {trace.left_out} more spans are beyond what `assay show` keeps in memory")


def _tree(roots: list[Span], limit: int) -> Tree:
    tree = Tree("", hide_root=True)
    nodes: dict[int, Tree] = {}
    for number, (span, parent) in enumerate(_walk(roots)):
        if number == limit:
            break
        above = tree if parent is None else nodes[id(parent)]
        nodes[id(span)] = above.add(_label(span))
    return tree


def _label(span: Span) -> Text:
    label = Text.assemble(
        printable(f"{span.name} {span.subject}".rstrip()), (f"  {_took(span.seconds)}", "dim")
    )
    if span.error:
        label.append(f"  {printable(_short(span.error))}", "red")
    return label


def _short(error: str) -> str:
    """Return the first line of an error; `--json` has all of it."""
    line, _, rest = error.partition("\n")
    return f"{line[:_ERROR_CHARACTERS]}…" if rest or len(line) > _ERROR_CHARACTERS else line


def _print_trail(console: Console, trail: Trail, folder: Folder) -> None:
    _heading(console, "audit trail", f"proofs verified with {folder.verifier_key}")
    if trail.fault:
        console.print(_text(f"  {trail.fault}", "red"))
    if not trail.entries:
        console.print("  no records")
        return
    table = _table("time", "event", "actor", "action", "outcome", "leaf", "proof")
    for entry in trail.entries:
        table.add_row(
            _text(entry.time[11:19]),
            _text(entry.event),
            _text(entry.actor),
            _text(entry.action),
            _state(entry.outcome),
            _leaf(entry.proof),
            _proof(entry.proof),
        )
    console.print(table)
    for line in _checkpoints(trail.entries):
        console.print(_text(f"  {line}"))
    if trail.has_more:
        console.print("  there are more records: assay audit query --correlation-id")


def _leaf(proof: Proof) -> str:
    """Return the index of a leaf, and how many leaves the checkpoint covers that it is proven in."""
    return f"{proof.leaf} of {proof.size}" if proof.size else str(proof.leaf)


def _proof(proof: Proof) -> Text:
    reason = f": {proof.reason}" if proof.state == "unverified" else ""
    return Text.assemble(_state(proof.state), _text(reason))


def _checkpoints(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield who signed the checkpoints that cover records."""
    signed = {(entry.proof.size, entry.proof.key) for entry in entries if entry.proof.state == "verified"}
    for size, key in sorted(signed):
        yield f"the checkpoint of size {size} covers leaves 0 to {size - 1}; signed by {key}"
    if any(entry.proof.state == "pending" for entry in entries):
        yield "pending: no signed checkpoint covers the record yet"


def _print_chain(console: Console, run: Run, chain: Chain) -> None:
    _heading(console, "CDEvents", f"chain {' '.join(chain.ids)}")
    if not chain.events:
        console.print("  no events")
        return
    table = _table("time", "type", "subject", "outcome", "state")
    for event in chain.events:
        reason = f": {event.reason}" if event.reason else ""
        table.add_row(
            _text(event.time[11:19]),
            _text(event.type),
            _text(event.subject.replace(run.id, "RUN")),  # it stands above in full
            _state(event.outcome),
            Text.assemble(_state(event.state), _text(reason)),
        )
    console.print(table)
    if chain.left_out:
        console.print(f"  {chain.left_out} more events")


def _walk(roots: list[Span]) -> Iterator[tuple[Span, Span | None]]:
    """Yield each span with its parent, a parent before its children."""
    waiting: list[tuple[Span, Span | None]] = [(root, None) for root in reversed(roots)]
    while waiting:
        span, parent = waiting.pop()
        yield span, parent
        waiting += [(child, span) for child in reversed(span.children)]


def _run_members(run: Run) -> dict[str, Any]:
    members = asdict(run)
    return {
        **members,
        "traces": sorted(run.traces),
        "correlation_ids": sorted(run.correlation_ids),
        "seconds": run.seconds,
    }


def _span_members(span: Span) -> dict[str, Any]:
    members = {name: value for name, value in vars(span).items() if name != "children"}
    return {**members, "seconds": span.seconds}


def _print_json(value: object) -> None:
    click.echo(printable_json(json.dumps(value, ensure_ascii=False, indent=2)))


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_IN_A_PIPE)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        # An id is never cut: what does not fit continues on the next line.
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    return table


def _heading(console: Console, title: str, about: str) -> None:
    console.print()
    console.print(Text.assemble((title, "bold"), _text(f"  {about}", "dim")))


def _title(run: Run) -> Text:
    return _text(run.name if run.kind == "run" else f"sync {run.name}", "bold")


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def _state(state: str) -> Text:
    return _text(state, _STYLES.get(state, _OTHER_STYLE))


def _clock(nanoseconds: int) -> str:
    when = datetime.fromtimestamp(nanoseconds / 1e9).astimezone()
    return when.strftime("%H:%M:%S" if when.date() == datetime.now().astimezone().date() else "%m-%d %H:%M")


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= _MINUTE:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
