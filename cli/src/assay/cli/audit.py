"""`assay audit`: the auditor's commands for the functions of `assay.exporters.audit`."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from assay.cli._audit_flush import flush
from assay.cli._audit_witness import witness
from assay.cli._messages import safe
from assay.endpoints import printable, printable_json
from assay.exporters.audit import (
    FIELDS,
    SCHEMA_VERSION,
    AuditLogError,
    Query,
    TrustedKeys,
    VerificationError,
    Verified,
    consistency,
    export_tiles,
    load_trusted,
    migrate,
    named,
    newest_checkpoint,
    ocsf_event,
    prove,
    quarantined,
    quarantined_payload,
    query,
    verify,
    verify_proof,
)

_BROKEN_CHAINS = 3  # exit status
_INTEGER = 2**63 - 1  # SQLite has no larger numbers
# Characters that start a formula in a spreadsheet; some convert those of full width.
_FORMULA = (*"=+-@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
FORMATS = ("table", "json", "jsonl", "csv")
_File = click.Path(path_type=Path, dir_okay=False)
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Unchecked(click.ClickException):
    """The log or a file could not be read, so nothing was verified."""

    exit_code = 2


def _db(command: _Command) -> _Command:
    return click.option("--db", type=_File, required=True, help="The log's database, such as audit/log.db.")(
        command
    )


def _key(command: _Command) -> _Command:
    text = "File of the log's verifier keys, one a line. Take it from a source that you trust."
    return click.option("--key", type=_File, required=True, help=text)(command)


def _signatures(command: _Command) -> _Command:
    text = "Whether any or each of several keys must have signed the newest checkpoint, or a proof's."
    choice = click.Choice(["any", "each"])
    return click.option("--signatures", type=choice, default="any", show_default=True, help=text)(command)


def _trusted(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a log's keys to a command, which receives them as `keys`."""

    @wraps(command)
    def run(*, key: Path, signatures: Any, retired_key: Path | None, **rest: Any) -> None:  # noqa: ANN401  click's types
        with _audit_errors():
            keys = load_trusted(key, signatures, retired_key)
        command(keys=keys, **rest)

    text = "File of verifier keys that signed the log before. They verify older checkpoints only."
    return _key(_signatures(click.option("--retired-key", type=_File, help=text)(run)))


def _format(command: _Command) -> _Command:
    option = click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
    return option(command)


def _pairs(_: object, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return the values of `--attribute` as a mapping."""
    pairs = [value.partition("=") for value in values]
    if not all(key and separator for key, separator, _ in pairs):
        raise click.BadParameter("write KEY=VALUE, such as service.name=orders", param=parameter)
    return {key: value for key, _, value in pairs}


def _names(_: object, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the value of `--fields` as names of members."""
    names = tuple(value.split(",")) if value else ()
    if unknown := [name for name in names if name not in FIELDS]:
        raise click.BadParameter(
            f"unknown: {printable(', '.join(unknown))}; known: {', '.join(FIELDS)}", param=parameter
        )
    return names


@contextmanager
def _audit_errors() -> Generator[None]:
    """Print an error as a message. Exit with 1 if verification failed, and with 2 if it was not possible."""
    try:
        yield
    except AuditLogError as error:
        kind = click.ClickException if isinstance(error, VerificationError) else _Unchecked
        raise kind(safe(str(error))) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Query and verify the audit log, and prove its records.

    All commands work offline and need only the database file. The sink may be writing to it. The exit status
    is 0, 1 if something does not verify, 2 if it could not be verified or read.

    \b
    Example:
      assay audit verify --db audit/log.db --key audit/verifier.key
    """


command.add_command(flush)
command.add_command(witness)


@command.command("query")
@_db
@click.option("--actor", help="Id of the actor.")
@click.option("--action", help="Action, such as APPROVE.")
@click.option("--target", help="Id of the target.")
@click.option("--event", help="Name of the event.")
@click.option("--outcome", type=click.Choice(["success", "failure", "unknown"]), help="Outcome.")
@click.option("--source", help="Id of the source, such as an address.")
@click.option("--correlation-id", help="Correlation id or trace id.")
@click.option("--since", metavar="TIME", help="2026-11-21, 2026-11-21T04:00:00Z, or 90m, 24h, 7d (ago).")
@click.option("--until", metavar="TIME", help="In the same forms; this time is excluded.")
@click.option("--happened-since", metavar="TIME", help="As --since, by the time of the event.")
@click.option("--happened-until", metavar="TIME", help="As --until, by the time of the event.")
@click.option(
    "--attribute",
    "attributes",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_pairs,
    help="An attribute of the record or its resource, such as service.name=orders. May be repeated.",
)
@click.option(
    "--fields",
    metavar="NAME,…",
    callback=_names,
    help="Print these members only, such as id,outcome,leaf_hash. Default: all; in a table, the main ones.",
)
@click.option(
    "--limit", type=click.IntRange(1, _INTEGER), help="Largest number of records; the newest are printed."
)
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, "ocsf"]),
    default="table",
    show_default=True,
    help="ocsf: events of OCSF 1.9 (API Activity), one a line.",
)
def query_command(db: Path, form: str, fields: tuple[str, ...], **what: Any) -> None:  # noqa: ANN401  the options of Query
    """Print the matching records, the newest first.

    \b
    Example:
      assay audit query --db audit/log.db --actor alice@example.com --since 7d --format jsonl
    """
    short = ("inserted_at", "event_type", "actor_id", "action", "outcome", "resource_id")
    with _audit_errors():
        records = query(db, Query(**what))
        if form == "ocsf":
            _print(map(ocsf_event, records), "jsonl", short=())
            return
        if fields:
            records = ({name: record[name] for name in fields} for record in records)
        _print(records, form, short=fields or short)


@command.command("verify")
@_db
@_trusted
@click.option(
    "--checkpoint",
    type=_File,
    help="A checkpoint that was kept elsewhere; it reveals a log that was rolled back or rewritten. "
    "Default: the last one of the signer, or else the file `checkpoint`, beside the database.",
)
@click.option(
    "--since",
    type=_File,
    help="A checkpoint up to which you verified the log before: only later entries are read.",
)
def verify_command(db: Path, keys: TrustedKeys, checkpoint: Path | None, since: Path | None) -> None:
    """Recompute the whole log from its rows, and compare it with every signed checkpoint.

    The exit status is 1 if the log was changed, and the message names the first fault; 2 if the log could not
    be verified; 3 if the log is unchanged and a producer's chain (audit.sequence.*) is broken.

    \b
    Example:
      assay audit verify --db audit/log.db --key audit/verifier.key --checkpoint /media/safe/checkpoint
    """
    kept = checkpoint or _beside(db)
    with _audit_errors(), _progress_bar() as progress:
        found = verify(
            db,
            keys,
            checkpoint=None if kept is None else _read(kept),
            since=None if since is None else _read(since),
            progress=progress,
        )
    _print_verified(found, kept, beside=checkpoint is None)
    if found.chains:
        click.echo(f"broken chains of producers: {len(found.chains)}", err=True)
        for fault in found.chains:
            click.echo(f"  {printable(str(fault))}", err=True)
        sys.exit(_BROKEN_CHAINS)


def _beside(db: Path) -> Path | None:
    """Return the newest checkpoint beside the database that can be read, None without one."""
    candidates = [db.with_name("signing.key.checkpoint"), db.with_name("checkpoint")]
    return next((each for each in candidates if each.is_file() and os.access(each, os.R_OK)), None)


def _print_verified(found: Verified, kept: Path | None, *, beside: bool) -> None:
    if kept is None:
        compared = (
            "compared with no kept checkpoint: nothing shows whether the log was rolled back, or rewritten"
            " after its newest checkpoint"
        )
    else:
        place = "beside the database" if beside else "kept elsewhere"
        compared = f"compared with the checkpoint in {kept} ({place}, size {found.kept})"
    click.echo(printable(f"verified: {found.origin}, {compared}"))
    click.echo(f"  {found.records} records, {found.quarantined} in quarantine, root {found.root}")
    click.echo(f"  {found.checkpoints} checkpoints, the newest covers {found.covered} entries")
    for signed in found.signers:
        click.echo(
            f"  key {signed.key.id.hex()} signed checkpoints of size {signed.first} to {signed.newest}"
        )
    if found.first:
        click.echo(f"  entries before {found.first} were not read again, and chains were not checked")
    uncovered = found.records + found.quarantined - found.covered
    if uncovered:
        click.echo(
            f"  {uncovered} entries are newer than the newest checkpoint: no signature proves them yet"
        )


@command.command("prove")
@_db
@click.argument("record_id", required=False)
@click.option("--leaf", type=click.IntRange(0, _INTEGER), help="Index of a leaf, instead of an id.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tlog-proof", "json"]),
    default="tlog-proof",
    show_default=True,
    help="C2SP tlog-proof, which other programs verify too, or JSON with the record in plain text.",
)
@click.option(
    "--output", "-o", type=click.File("wb"), default="-", help="Output file. Default: standard output."
)
def prove_command(db: Path, record_id: str | None, leaf: int | None, form: Any, output: Any) -> None:  # noqa: ANN401  click's types
    """Write a proof of a record or quarantine entry: the entry, its inclusion proof, a signed checkpoint.

    \b
    Example:
      assay audit prove 6f1c… --db audit/log.db -o record.tlog-proof
    """
    if (record_id is None) == (leaf is None):
        raise click.UsageError("give either the id of a record or --leaf")
    with _audit_errors():
        proof = prove(db, record_id if leaf is None else leaf, form)  # pyright: ignore[reportArgumentType]  one is given
    if form == "json":  # escaped, because the default output is a terminal; the JSON value is the same
        proof = printable_json(proof.decode()).encode()
    output.write(proof)


@command.command("verify-proof")
@click.argument("proof", type=click.File("rb"))
@_key
@_signatures
def verify_proof_command(proof: Any, key: Path, signatures: Any) -> None:  # noqa: ANN401  click's types
    """Verify a proof of either format; the log's public key suffices.

    \b
    Example:
      assay audit verify-proof record.tlog-proof --key audit/verifier.key
    """
    with _audit_errors():
        proven = verify_proof(proof.read(), load_trusted(key, signatures))
    checkpoint = proven.checkpoint
    entry = "quarantine entry of record" if proven.is_quarantined else "record"
    place = f"leaf {proven.index} of the log {checkpoint.origin} of size {checkpoint.size}"
    click.echo(printable(f"proven: {entry} {named(proven.record_id)} is in the log, {place}"))


@command.command("consistency")
@_db
@_trusted
@click.argument("old", type=_File)
@click.argument("new", type=_File)
def consistency_command(db: Path, keys: TrustedKeys, old: Path, new: Path) -> None:
    """Prove that the checkpoint in the file NEW extends that in the file OLD, and print the verified proof.

    The output has the form of a request to a C2SP witness (tlog-witness, add-checkpoint).

    \b
    Example:
      assay audit consistency kept/checkpoint audit/checkpoint --db audit/log.db --key audit/verifier.key
    """
    with _audit_errors():
        proof = consistency(db, _read(old), _read(new), keys)
    click.echo(proof, nl=False)


@command.command("export")
@_db
@click.option(
    "--tiles",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the tiles; it is created, or completed.",
)
def export_command(db: Path, tiles: Path) -> None:
    """Write the log as C2SP tlog-tiles: static files that any web server can serve and other programs read.

    \b
    Example:
      assay audit export --db audit/log.db --tiles public/
    """
    with _audit_errors():
        size = export_tiles(db, tiles)
    click.echo(printable(f"{tiles}: tiles of {size} entries"))


@command.command("checkpoint")
@_db
def checkpoint_command(db: Path) -> None:
    """Print the newest signed checkpoint. Keep it where the log's owner cannot change it.

    \b
    Example:
      assay audit checkpoint --db audit/log.db > /media/safe/checkpoint
    """
    with _audit_errors():
        note = newest_checkpoint(db)
    click.echo("\n".join(map(printable, note.split("\n"))), nl=False)


@command.command("migrate")
@_db
@click.option(
    "--signing-key",
    type=_File,
    help="File of the log's signing key. Default: signing.key beside the database.",
)
def migrate_command(db: Path, signing_key: Path | None) -> None:
    """Bring a log of an earlier version to this one. Stop the sink, and verify the log first.

    The old file stays beside the new one. All leaves and checkpoints stay the same, so that every proof and
    every checkpoint that was kept still verifies.

    \b
    Example:
      assay audit migrate --db audit/log.db
    """
    with _audit_errors():
        version = migrate(db, signing_key or db.with_name("signing.key"))
    done = "nothing to do" if version == SCHEMA_VERSION else f"the old log is {db.name}.v{version}"
    click.echo(printable(f"{db}: schema version {SCHEMA_VERSION}, {done}"))


@command.command("quarantine")
@_db
@_format
@click.option(
    "--payload",
    type=click.IntRange(0, _INTEGER),
    metavar="LEAF",
    help="Write the payload of the entry with this leaf index instead.",
)
def quarantine_command(db: Path, form: str, payload: int | None) -> None:
    """List the invalid records and batches that came through a Collector, with the reasons.

    \b
    Example:
      assay audit quarantine --db audit/log.db
      assay audit quarantine --db audit/log.db --payload 17 > entry.bin
    """
    with _audit_errors():
        if payload is not None:
            if sys.stdout.isatty():
                raise click.UsageError("a payload is raw bytes: write it to a file with `> entry.bin`")
            sys.stdout.buffer.write(quarantined_payload(db, payload))
            return
        _print(quarantined(db), form, short=("leaf_index", "inserted_at", "record_id", "reason"))


def _print(records: Iterable[dict[str, Any]], form: str, *, short: tuple[str, ...]) -> None:
    if form == "jsonl":
        for record in records:
            click.echo(printable_json(json.dumps(record, ensure_ascii=False)))
    elif form == "json":
        click.echo(printable_json(json.dumps(list(records), ensure_ascii=False, indent=2)))
    elif form == "csv":
        _print_csv(records)
    else:
        _print_table(records, short)


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


def _print_table(records: Iterable[dict[str, Any]], names: tuple[str, ...]) -> None:
    if not sys.stdout.isatty():
        for record in records:
            click.echo("\t".join(_cell(record[name]) for name in names))
        return
    table = Table(*names, box=None)
    for record in records:
        # As Text: "[north]" in a record is not markup.
        table.add_row(*(Text(_cell(record[name])) for name in names))
    Console().print(table)


def _cell(value: object) -> str:
    return "" if value is None else printable(str(value))


@contextmanager
def _progress_bar() -> Generator[Callable[[int, int], object]]:
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _Unchecked(safe(f"{path}: the checkpoint cannot be read: {error}")) from error
