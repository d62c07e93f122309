"""Run the benchmarks and print a table, or JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks.row import Row

# Each module measures one subject: `run(rounds) -> list[Row]`.
SUBJECTS = (
    "bus",
    "operation",
    "pools",
    "pools_memory",
    "dagster_run",
    "dagster_peers",
    "dagster_instructions",
    "gitops",
    "startup",
    "audit_emit",
    "ingest",
    "audit_verify",
    "audit_postgresql",
    "tessera",
    "audit_path",
    "audit_proof",
    "host",
    "delivery",
)


def measure(subjects: list[str], rounds: int) -> Iterator[Row]:
    """Run the subjects one after the other, and yield their figures."""
    for subject in subjects:
        print(f"measuring {subject} …", file=sys.stderr, flush=True)
        begun = time.monotonic()
        yield from importlib.import_module(f"benchmarks.{subject}").run(rounds)
        print(f"    took {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def table(rows: list[Row]) -> Table:
    """Return the figures as a table."""
    view = Table("measured", "ratio", "bound", "met", "pairs", "floor")
    for row in rows:
        bound = "" if row.bound is None else f"{'≤' if row.sense == 'at most' else '≥'} {row.bound:g}"
        met = {True: "yes", False: "no", None: ""}[row.met]
        view.add_row(row.name, f"{row.ratio:.3g}", bound, met, str(row.pairs), row.note)
    return view


def main() -> None:
    """Measure the requested subjects."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], default=[], metavar="SUBJECT")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each figure (default 5)")
    options = parser.parse_args()
    rows: list[Row] = []
    try:
        rows.extend(measure(options.subjects or list(SUBJECTS), options.rounds))
    finally:  # also what was measured before a subject failed, or Ctrl-C
        if options.json:
            print(json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2))
        else:
            Console().print(table(rows))


if __name__ == "__main__":
    main()
