"""What `assay demo` and `assay up` share: where they keep things, their Collector, and how they speak."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

_Command = TypeVar("_Command", bound=Callable[..., Any])


def collector_option(command: _Command) -> _Command:
    """`--collector`, given to the command as `mode`."""
    return click.option(
        "--collector",
        "mode",
        type=click.Choice(["auto", "require", "none"]),
        default="auto",
        show_default=True,
        help="When no Collector can be had: auto goes on without, require fails; none does not look.",
    )(command)


def made_folder(directory: Path) -> Path:
    """Return the folder of `--keep` as an absolute path, made if it was not there.

    Raises:
        click.BadParameter: It cannot be made, or not be written.
    """
    folder = directory.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(
            f"{folder} cannot be made: {error.strerror}; name another folder", param_hint="--keep"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{folder} cannot be written; name another folder", param_hint="--keep")
    return folder


def say(text: str) -> None:
    """Tell what is being done, on standard error: lines of a service are no markup, and no path is broken."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
