"""Records as `assay audit` prints them: nothing in a record steers a terminal or a spreadsheet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from assay.endpoints import printable, printable_json

_ANY_WIDTH = 10_000
_LATEST = 253402300799  # end of the year 9999, in seconds
# Characters that start a formula in a spreadsheet; some convert those of full width.
_FORMULA = (*"=+-@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def print_records(records: Iterable[dict[str, Any]], form: str, *, short: tuple[str, ...]) -> None:
    """Print records in a format; a table has the members `short` only."""
    if form == "jsonl":
        for record in records:
            click.echo(printable_json(json.dumps(record, ensure_ascii=False)))
    elif form == "json":
        click.echo(printable_json(json.dumps(list(records), ensure_ascii=False, indent=2)))
    elif form == "csv":
        _print_csv(records)
    else:
        print_table(records, short)


def _print_csv(records: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout)
    for number, record in enumerate(records):
        if not number:
            writer.writerow(record)
        writer.writerow(map(_csv_cell, record.values()))


def _csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe precedes what could start one."""
    if isinstance(value, (dict, list)):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    cell = printable(value)
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


def print_table(records: Iterable[dict[str, Any]], names: tuple[str, ...]) -> None:
    """Print members of records.

    On a terminal they are a table; one that is wider than the terminal has a line for each member instead, so
    that ids are complete. Otherwise each record is one line, with tabs.
    """
    if not sys.stdout.isatty():
        for record in records:
            click.echo("\t".join(_cell(record[name]) for name in names))
        return
    console = Console()
    table = Table(*names, box=None)
    rows = [[_cell(record[name]) for name in names] for record in records]
    for row in rows:
        # As Text: "[north]" in a record is not markup.
        table.add_row(*map(Text, row))
    if Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum <= console.width:
        console.print(table)
        return
    for number, row in enumerate(rows):
        if number:
            console.print()
        console.print(_members(names, row))


def _members(names: tuple[str, ...], row: list[str]) -> Table:
    """Return the members of one record, one a line."""
    table = Table(box=None, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, cell in zip(names, row, strict=True):
        table.add_row(name, Text(cell))
    return table


def _cell(value: object) -> str:
    return "" if value is None else printable(str(value))


def utc(seconds: int) -> str:
    """Return a POSIX time in the form of RFC 3339."""
    return datetime.fromtimestamp(min(seconds, _LATEST), timezone.utc).isoformat().replace("+00:00", "Z")
