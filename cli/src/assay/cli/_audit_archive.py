"""`assay audit archive`, and the verification of archives."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli._audit_options import (
    audit_errors,
    cosigned_option,
    database_option,
    progress_bar,
    trusted_keys,
    witness_policy,
)
from assay.endpoints import printable
from assay.exporters.audit import (
    Location,
    Policy,
    TrustedKeys,
    Verified,
    VerifiedArchive,
    archive,
    archive_folders,
    archives,
    verify_archive,
)


@click.command("archive")
@database_option
@trusted_keys
@click.option(
    "--before",
    metavar="TIME",
    required=True,
    help="2026-08 (UTC), 2026-08-15, or 90d (ago); this time is excluded.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the log's archives; it is created. Each archive is a folder in it.",
)
@cosigned_option
@witness_policy
def archive_command(  # noqa: PLR0913, PLR0917  one for each option
    db: Location,
    keys: TrustedKeys,
    before: str,
    folder: Path,
    cosigned: bool,  # noqa: FBT001
    policy: Policy | None,
) -> None:
    """Move the entries before a time out of the log, into archives that verify alone.

    An archive has the entries of a month (UTC), or a part of them. An entry leaves the log when its archive
    is complete on disk and was verified; the log keeps its hashes and its id. If the command is killed, run
    it again. The sink of an SQLite log must be stopped. A log in PostgreSQL needs the role that owns the
    tables, and its sinks go on.

    \b
    Example:
      assay audit archive --db audit/log.db --key audit/verifier.key --before 2026-08 --to archives
    """
    with audit_errors(), progress_bar("archiving") as progress:
        done = archive(db, keys, before, folder, witnessed=cosigned, policy=policy, progress=progress)
    if not done:
        click.echo(printable(f"{db}: no entry before {before} is left to archive"))
    for each in done:
        entries = f"{each.end - each.first} entries, leaves {each.first} to {each.end - 1}"
        click.echo(printable(f"{folder / each.name}: {entries}"))
        click.echo(f"  the manifest has the SHA-256 {each.sha256.hex()}")


def verify_archives(folder: Path, keys: TrustedKeys, policy: Policy | None) -> list[VerifiedArchive]:
    """Verify an archive, or the archives in a folder, without the database."""
    with audit_errors():
        return [verify_archive(place, keys, policy) for place in archive_folders(folder)]


def print_archives(found: Verified) -> None:
    """Print which entries of a verified log are archived, and whether the archives were verified."""
    if not found.archives:
        return
    names = ", ".join(each.name for each in found.archives)
    click.echo(printable(f"  {found.archives[-1].end} entries are archived, in {names}"))
    if found.archives_verified:
        click.echo("  the archives verify, and lead to the same root")
    else:
        click.echo("  only the hashes of these entries were verified, and no chains: add --archive")


def print_not_searched(db: Location) -> None:
    """Print to standard error which entries a query has not read."""
    with audit_errors():
        found = archives(db)
    if found:
        names = ", ".join(each.name for each in found)
        text = f"{found[-1].end} entries before {found[-1].older_than} are archived, in {names}: not searched"
        click.echo(printable(text), err=True)
