"""Progress of long work, on standard error, so that standard output holds results only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

import click

ReportProgress: TypeAlias = Callable[[str], None]
"""Called with one line of text for each step."""

_STEP_NUMBER = "1234/"  # such as `2/4`


def print_progress(text: str) -> None:
    """Print one line to standard error, unwrapped and without markup."""
    from rich.console import Console  # noqa: PLC0415  90 ms that a script does not need

    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_status() -> Generator[ReportProgress]:
    """Yield a function that reports progress: in one changing line on a terminal, else in a line each."""
    if not sys.stderr.isatty():
        yield lambda text: click.echo(text, err=True)
        return
    from rich.console import Console  # noqa: PLC0415  90 ms that a script does not need

    console = Console(stderr=True)
    with console.status("") as status:

        def report(text: str) -> None:
            if text[:2].strip(_STEP_NUMBER):
                console.print(text, highlight=False, markup=False)
            else:
                status.update(text)

        yield report
