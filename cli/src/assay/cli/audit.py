"""`assay audit`: the auditor's commands for the functions of `assay.exporters.audit`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from assay.cli._audit_archive import archive_command, print_not_searched
from assay.cli._audit_flush import flush
from assay.cli._audit_options import (
    DATABASE,
    FILE,
    FORMATS,
    audit_errors,
    cosigned_option,
    database_option,
    database_unless,
    format_option,
    optional_database_option,
    progress_bar,
    read_checkpoint,
    trusted_keys,
)
from assay.cli._audit_output import print_records
from assay.cli._audit_verify import verify_command, verify_proof_command
from assay.cli._audit_witness import witness
from assay.endpoints import printable, printable_json
from assay.exporters.audit import (
    FIELDS,
    SCHEMA_VERSION,
    Location,
    PostgreSQL,
    Query,
    TrustedKeys,
    consistency,
    export_records,
    export_tiles,
    log_keys,
    migrate,
    newest_checkpoint,
    ocsf_event,
    producer_keys,
    prove,
    prove_archived,
    quarantined,
    quarantined_payload,
    query,
    refusals,
)

_INTEGER = 2**63 - 1  # SQLite has no larger numbers


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Query and verify the audit log, and prove its records.

    All commands work offline and need only the database. The sink may be writing to it. The exit status
    is 0, 1 if something does not verify, 2 if it could not be verified or read.

    \b
    Example:
      assay audit verify --db audit/log.db --key audit/verifier.key
    """


command.add_command(archive_command)
command.add_command(flush)
command.add_command(verify_command)
command.add_command(verify_proof_command)
command.add_command(witness)


@command.command("query")
@database_option
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
def query_command(db: Location, form: str, fields: tuple[str, ...], **what: Any) -> None:  # noqa: ANN401  the options of Query
    """Print the matching records, the newest first. Archived records are not searched.

    \b
    Example:
      assay audit query --db audit/log.db --actor alice@example.com --since 7d --format jsonl
    """
    short = ("inserted_at", "event_type", "actor_id", "action", "outcome", "resource_id")
    with audit_errors():
        records = query(db, Query(**what))
        if form == "ocsf":
            print_records(map(ocsf_event, records), "jsonl", short=())
        else:
            if fields:
                records = ({name: record[name] for name in fields} for record in records)
            print_records(records, form, short=fields or short)
    print_not_searched(db)


@command.command("prove")
@optional_database_option
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    help="Instead of the database: an archive, or a folder of archives.",
)
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
@cosigned_option
def prove_command(  # noqa: PLR0913, PLR0917  one for each option
    db: Location | None,
    archive: Path | None,
    record_id: str | None,
    leaf: int | None,
    form: Any,  # noqa: ANN401  click's types
    output: Any,  # noqa: ANN401
    cosigned: bool,  # noqa: FBT001
) -> None:
    """Write a proof of a record or quarantine entry: the entry, its inclusion proof, a signed checkpoint.

    \b
    Example:
      assay audit prove 6f1c… --db audit/log.db -o record.tlog-proof
      assay audit prove 6f1c… --archive archives/ -o record.tlog-proof
    """
    if (record_id is None) == (leaf is None):
        raise click.UsageError("give either the id of a record or --leaf")
    entry: Any = record_id if leaf is None else leaf
    db = db or database_unless(archive)
    with audit_errors():
        if db is not None and archive is None:
            proof = prove(db, entry, form, witnessed=cosigned)
        elif archive is not None and db is None and not cosigned:
            proof = prove_archived(archive, entry, form)
        else:
            raise click.UsageError("give either --db or --archive, and --cosigned with --db only")
    if form == "json":  # escaped, because the default output is a terminal; the JSON value is the same
        proof = printable_json(proof.decode()).encode()
    output.write(proof)


@command.command("consistency")
@database_option
@trusted_keys
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
def consistency_command(db: Location, keys: TrustedKeys, old: Path, new: Path) -> None:
    """Prove that the checkpoint in the file NEW extends that in the file OLD, and print the verified proof.

    The output has the form of a request to a C2SP witness (tlog-witness, add-checkpoint).

    \b
    Example:
      assay audit consistency kept/checkpoint audit/checkpoint --db audit/log.db --key audit/verifier.key
    """
    with audit_errors():
        proof = consistency(db, read_checkpoint(old), read_checkpoint(new), keys)
    click.echo(proof, nl=False)


@command.command("export")
@database_option
@click.option(
    "--tiles",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the log as tiles; it is created, or completed.",
)
@click.option("--records", type=FILE, help="File for the entries of a period, each with its proof.")
@click.option("--since", metavar="TIME", help="Start of the period: 2026-11-21, or 90m, 24h, 7d (ago).")
@click.option("--until", metavar="TIME", help="End of the period; this time is excluded.")
@cosigned_option
def export_command(  # noqa: PLR0913, PLR0917  one for each option
    db: Location,
    tiles: Path | None,
    records: Path | None,
    since: str | None,
    until: str | None,
    cosigned: bool,  # noqa: FBT001
) -> None:
    """Write the log as C2SP tlog-tiles, which any web server can serve, or a period with its proofs.

    `assay audit verify` verifies both without the database.

    \b
    Example:
      assay audit export --db audit/log.db --tiles public/
      assay audit export --db audit/log.db --records november.jsonl --since 2026-11-01 --until 2026-12-01
    """
    if (tiles is None) == (records is None):
        raise click.UsageError("give either --tiles or --records")
    if tiles is not None:
        if since or until:
            raise click.UsageError("tiles contain the whole log: use --since and --until with --records")
        with audit_errors():
            size = export_tiles(db, tiles, witnessed=cosigned)
        click.echo(printable(f"{tiles}: tiles of {size} entries"))
        return
    assert records is not None  # noqa: S101  checked above
    with audit_errors(), progress_bar("exporting") as progress:
        count = export_records(db, records, since=since, until=until, witnessed=cosigned, progress=progress)
    click.echo(printable(f"{records}: {count} entries with their proofs"))


@command.command("checkpoint")
@database_option
@cosigned_option
def checkpoint_command(db: Location, cosigned: bool) -> None:  # noqa: FBT001
    """Print the newest signed checkpoint, with its cosignatures. Keep it where the owner cannot change it.

    \b
    Example:
      assay audit checkpoint --db audit/log.db > /media/safe/checkpoint
    """
    with audit_errors():
        note = newest_checkpoint(db, witnessed=cosigned)
    click.echo("\n".join(map(printable, note.split("\n"))), nl=False)


@command.command("migrate")
@database_option
@click.option(
    "--signing-key",
    type=FILE,
    help="File of the log's signing key. Default: signing.key beside the database.",
)
def migrate_command(db: Location, signing_key: Path | None) -> None:
    """Bring a log of an earlier version to this one. Stop the sink, and verify the log first.

    The old file stays beside the new one. All leaves and checkpoints stay the same, so that every proof and
    every checkpoint that was kept still verifies.

    In a PostgreSQL database the command creates the tables that are missing, which the role of the address
    then owns, and the roles assay_audit_writer, for sinks, and assay_audit_reader, for auditors.

    \b
    Example:
      assay audit migrate --db audit/log.db
      assay audit migrate --db postgresql://owner@db.example.com/audit
    """
    with audit_errors():
        version = migrate(db, signing_key)
    if isinstance(db, PostgreSQL):
        click.echo(
            printable(f"{db}: " + ("the tables are up to date" if version else "the tables are created"))
        )
        return
    done = "nothing to do" if version == SCHEMA_VERSION else f"the old log is {db.name}.v{version}"
    click.echo(printable(f"{db}: schema version {SCHEMA_VERSION}, {done}"))


@command.command("quarantine")
@database_option
@format_option
@click.option(
    "--payload",
    type=click.IntRange(0, _INTEGER),
    metavar="LEAF",
    help="Write the payload of the entry with this leaf index instead.",
)
def quarantine_command(db: Location, form: str, payload: int | None) -> None:
    """List the invalid records and batches that came through a Collector, with the reasons.

    \b
    Example:
      assay audit quarantine --db audit/log.db
      assay audit quarantine --db audit/log.db --payload 17 > entry.bin
    """
    with audit_errors():
        if payload is not None:
            if sys.stdout.isatty():
                raise click.UsageError("a payload is raw bytes: write it to a file with `> entry.bin`")
            sys.stdout.buffer.write(quarantined_payload(db, payload))
            return
        print_records(quarantined(db), form, short=("leaf_index", "inserted_at", "record_id", "reason"))


@command.command("keys")
@click.option("--db", type=DATABASE, metavar="DATABASE", help="The log's database: list the log's own keys.")
@click.option("--trust", type=FILE, help="The sink's trust store: list the keys of producers.")
@format_option
def keys_command(db: Location | None, trust: Path | None, form: str) -> None:
    """List the keys that sign a log, and those of producers that its sink trusts, each with its state.

    The sink's settings `key` and `previous_keys` rotate a log's key. In the trust store, `not_after` ends a
    producer's key, and `revoked` revokes it.

    \b
    Example:
      assay audit keys --db audit/log.db --trust trust.yaml
    """
    if db is None and trust is None:
        raise click.UsageError("give --db, --trust or both")
    with audit_errors():
        found = [] if db is None else log_keys(db)
        found += [] if trust is None else producer_keys(trust)
    print_records([asdict(each) for each in found], form, short=("id", "use", "state", "key"))


@command.command("refusals")
@database_option
@format_option
def refusals_command(db: Location, form: str) -> None:
    """List the answers of witnesses that contradict the log, each with the request: evidence of a fork.

    \b
    Example:
      assay audit refusals --db audit/log.db --format json
    """
    with audit_errors():
        found = [asdict(each) for each in refusals(db)]
    print_records(found, form, short=("refused_at", "witness", "size", "status", "answer"))
