"""Options and defaults that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def collector_option(command: _Command) -> _Command:
    """Add `--collector`, which the command receives as `mode`."""
    return click.option(
        "--collector",
        "mode",
        type=click.Choice(["auto", "require", "none"]),
        default="auto",
        show_default=True,
        help="If no Collector is available, auto continues without and require fails; none uses none.",
    )(command)


def created_folder(directory: Path) -> Path:
    """Return the folder of `--keep` as an absolute path; create it when it is missing.

    Raises:
        click.BadParameter: The folder cannot be created or written.
    """
    folder = directory.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(
            f"{folder} cannot be created: {error.strerror}; name another folder", param_hint="--keep"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{folder} cannot be written; name another folder", param_hint="--keep")
    return folder


def default_file(ctx: click.Context, parameter: click.Parameter, file: Path) -> Path:
    """Return a file of `assay up` in the working directory.

    Raises:
        click.MissingParameter: It does not exist.
    """
    if not file.is_file():
        raise click.MissingParameter(
            f"There is no {file} of `assay up` in this folder.", ctx=ctx, param=parameter
        )
    return file
