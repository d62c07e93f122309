"""Options and errors of the commands of `assay audit`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from assay.cli._folder import DEFAULT_FOLDER, Folder
from assay.cli._messages import safe
from assay.cli._options import default_file
from assay.exporters.audit import (
    AuditLogError,
    Location,
    OpenError,
    PostgreSQL,
    VerificationError,
    load_trusted,
    read_policy,
)

FORMATS = ("table", "json", "jsonl", "csv")
FILE = click.Path(path_type=Path, dir_okay=False)
Command = TypeVar("Command", bound=Callable[..., Any])


class UncheckedError(click.ClickException):
    """The command could not do its work, such as because a file cannot be read; nothing was verified."""

    exit_code = 2


class _Database(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - old versions take none
    """The file of an SQLite database, or the address of a PostgreSQL database."""

    name = "database"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        """Return the file or the address."""
        if not PostgreSQL.is_address(value):
            return FILE.convert(value, param, ctx)
        try:
            return PostgreSQL(value)
        except OpenError as error:
            self.fail(str(error), param, ctx)


DATABASE = _Database()
DATABASE_HELP = (
    "The log's database: a file such as audit/log.db, or postgresql://user@host/database, whose password"
    " PGPASSFILE or ~/.pgpass contains."
)


_DATABASE_HELP = f"{DATABASE_HELP} Default: {Folder(DEFAULT_FOLDER).database.as_posix()}."


def database_unless(*alternatives: object) -> Path | None:
    """Return the log of `assay up` in the working directory, None if there is none or an alternative."""
    found = Folder(DEFAULT_FOLDER).database
    return found if found.is_file() and all(each is None for each in alternatives) else None


def _database(ctx: click.Context, parameter: click.Parameter, value: Location | None) -> Location:
    return value or default_file(ctx, parameter, Folder(DEFAULT_FOLDER).database)


def _key(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    if value is not None:
        return value
    found = default_file(ctx, parameter, Folder(DEFAULT_FOLDER).verifier_key)
    click.echo(
        f"using the key in {found}, from the log's own folder: it does not show that somebody replaced both",
        err=True,
    )
    return found


def database_option(command: Command) -> Command:
    """Add the option of the database; the log of `assay up` in the working directory is the default."""
    return click.option("--db", type=DATABASE, metavar="DATABASE", callback=_database, help=_DATABASE_HELP)(
        command
    )


def optional_database_option(command: Command) -> Command:
    """Add the option of the database to a command that can do without; see `database_unless`."""
    return click.option("--db", type=DATABASE, metavar="DATABASE", help=_DATABASE_HELP)(command)


def key_option(command: Command) -> Command:
    """Add the option of the log's keys; the key of `assay up` in the working directory is the default."""
    text = (
        "File of the log's verifier keys, one a line. Take it from a source that you trust. Default:"
        f" {Folder(DEFAULT_FOLDER).verifier_key.as_posix()}."
    )
    return click.option("--key", type=FILE, callback=_key, help=text)(command)


def signatures_option(command: Command) -> Command:
    """Add the option of how many keys must have signed."""
    text = "Whether any or each of several keys must have signed the newest checkpoint, or a proof's."
    choice = click.Choice(["any", "each"])
    return click.option("--signatures", type=choice, default="any", show_default=True, help=text)(command)


def trusted_keys(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a log's keys to a command, which receives them as `keys`."""

    @wraps(command)
    def run(*, key: Path, signatures: Any, retired_key: Path | None, **rest: Any) -> None:  # noqa: ANN401  click's types
        with audit_errors():
            keys = load_trusted(key, signatures, retired_key)
        command(keys=keys, **rest)

    text = "File of verifier keys that signed the log before. They verify older checkpoints only."
    return key_option(signatures_option(click.option("--retired-key", type=FILE, help=text)(run)))


def witness_policy(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option of a policy of witnesses to a command, which receives it as `policy`."""

    @wraps(command)
    def run(*, policy: Path | None, **rest: Any) -> None:  # noqa: ANN401  click's types
        with audit_errors():
            read = None if policy is None else read_policy(policy)
        command(policy=read, **rest)

    text = "Policy of witnesses (C2SP tlog-policy): cosignatures are verified, the quorum is required."
    return click.option("--policy", type=FILE, help=text)(run)


def cosigned_option(command: Command) -> Command:
    """Add the option of a checkpoint with its quorum."""
    text = "Take the newest checkpoint that had its quorum of cosignatures, if there is one."
    return click.option("--cosigned", is_flag=True, help=text)(command)


def format_option(command: Command) -> Command:
    """Add the option of the output format."""
    option = click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
    return option(command)


@contextmanager
def audit_errors() -> Generator[None]:
    """Print an error as a message. Exit with 1 if verification failed, and with 2 if it was not possible."""
    try:
        yield
    except AuditLogError as error:
        kind = click.ClickException if isinstance(error, VerificationError) else UncheckedError
        raise kind(safe(str(error))) from error


@contextmanager
def progress_bar(title: str) -> Generator[Callable[[int, int], object]]:
    """Show the progress on a terminal, and yield the function that reports it."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def read_optional_checkpoint(path: Path | None) -> str | None:
    """Return the text of a checkpoint's file; None without a path."""
    return None if path is None else read_checkpoint(path)


def read_checkpoint(path: Path) -> str:
    """Return the text of a checkpoint's file."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UncheckedError(safe(f"{path}: the checkpoint cannot be read: {error}")) from error
