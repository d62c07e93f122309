"""`assay audit verify` and `verify-proof`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from assay.cli._audit_archive import print_archives, verify_archives
from assay.cli._audit_options import (
    FILE,
    audit_errors,
    database_unless,
    key_option,
    optional_database_option,
    progress_bar,
    read_optional_checkpoint,
    signatures_option,
    trusted_keys,
    witness_policy,
)
from assay.cli._audit_output import utc
from assay.endpoints import printable
from assay.exporters.audit import (
    ChainFault,
    Location,
    Policy,
    Refusal,
    TrustedKeys,
    Verified,
    load_trusted,
    named,
    verify,
    verify_export,
    verify_proof,
    verify_tiles,
)
from assay.proof import Checkpoint, Cosignature

_FINDINGS = 3  # exit status
_MOST_JOBS = 64
_MOST_DEFAULT = 8  # more processes wait for the disk, or take the database server from others
_SHOWN_REFUSALS = 10


@click.command("verify")
@optional_database_option
@click.option(
    "--tiles",
    type=click.Path(path_type=Path, file_okay=False),
    help="Instead of the database: a folder with the log as tiles.",
)
@click.option("--export", type=FILE, help="Instead of the database: a file that `export --records` wrote.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --db: folder of the log's archives, which are verified too. Alone: an archive, or a folder of"
    " archives.",
)
@trusted_keys
@click.option(
    "--checkpoint",
    type=FILE,
    help="A checkpoint that was kept elsewhere; it reveals a log that was rolled back or rewritten. "
    "Default, for a database: the last one of the signer, or else the file `checkpoint`, beside it.",
)
@click.option(
    "--since",
    type=FILE,
    help="With --db and --tiles: a checkpoint up to which you verified before. Only later entries are read.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, _MOST_JOBS),
    default=None,
    metavar="N",
    help="With --db: the most processes to use for a long log. Default: the processors that this process may"
    f" use, at most {_MOST_DEFAULT}.",
)
@witness_policy
def verify_command(  # noqa: PLR0913, PLR0917  one for each option
    db: Location | None,
    tiles: Path | None,
    export: Path | None,
    archive: Path | None,
    keys: TrustedKeys,
    checkpoint: Path | None,
    since: Path | None,
    jobs: int | None,
    policy: Policy | None,
) -> None:
    """Recompute the whole log from its entries, and compare it with every signed checkpoint.

    The exit status is 1 if the log was changed, and the message names the first fault; 2 if the log could not
    be verified; 3 if the log is unchanged, and a producer's chain (audit.sequence.*) is broken or a witness
    contradicted the log.

    \b
    Example:
      assay audit verify --db audit/log.db --key audit/verifier.key --checkpoint /media/safe/checkpoint
      assay audit verify --tiles public/ --key audit/verifier.key
      assay audit verify --db audit/log.db --archive archives/ --key audit/verifier.key
    """
    db = db or database_unless(tiles, export, archive)
    if sum(each is not None for each in (db, tiles, export)) != (0 if archive and db is None else 1):
        raise click.UsageError("give one of --db, --tiles, --export and --archive, or --db and --archive")
    if since is not None and db is None and tiles is None:
        raise click.UsageError(
            "--since continues the verification of a database or of tiles: use it with --db or --tiles"
        )
    if jobs is not None and db is None:
        raise click.UsageError("--jobs shares the verification of a database: use it with --db")
    if tiles is not None:
        _verify_tiles(tiles, keys, checkpoint, since, policy)
    elif export is not None:
        if checkpoint is not None:
            raise click.UsageError("an export is verified by its own checkpoint: omit --checkpoint")
        _verify_export(export, keys, policy)
    elif db is not None:
        _verify_database(db, keys, checkpoint, since, policy, archive, jobs or _processors())
    elif archive is not None:
        if checkpoint is not None:
            raise click.UsageError("an archive is verified by its own checkpoint: omit --checkpoint")
        _verify_archives(archive, keys, policy)


def _verify_database(  # noqa: PLR0913, PLR0917  one for each option
    db: Location,
    keys: TrustedKeys,
    checkpoint: Path | None,
    since: Path | None,
    policy: Policy | None,
    archive: Path | None,
    jobs: int,
) -> None:
    kept = checkpoint or (_beside(db) if isinstance(db, Path) else None)
    with audit_errors(), progress_bar("verifying") as progress:
        found = verify(
            db,
            keys,
            checkpoint=read_optional_checkpoint(kept),
            since=read_optional_checkpoint(since),
            policy=policy,
            archives=archive,
            jobs=jobs,
            progress=progress,
        )
    _print_verified(found, kept, beside=checkpoint is None)
    print_archives(found)
    _print_cosigners(found, policy)
    _exit_with_findings(found.chains, found.refusals)


def _verify_tiles(
    tiles: Path, keys: TrustedKeys, checkpoint: Path | None, since: Path | None, policy: Policy | None
) -> None:
    with audit_errors(), progress_bar("verifying") as progress:
        found = verify_tiles(
            tiles,
            keys,
            checkpoint=read_optional_checkpoint(checkpoint),
            since=read_optional_checkpoint(since),
            policy=policy,
            progress=progress,
        )
    compared = (
        "compared with no checkpoint kept elsewhere"
        if checkpoint is None
        else f"compared with the checkpoint in {checkpoint} (kept elsewhere, size {found.kept})"
    )
    click.echo(printable(f"verified: {found.checkpoint.origin}, tiles, {compared}"))
    click.echo(
        f"  {found.records} records, {found.quarantined} in quarantine, root {found.checkpoint.root.hex()}"
    )
    _print_first(found.first)
    _print_signatures(keys, found.checkpoint, found.cosignatures)
    _exit_with_findings(found.chains, ())


def _verify_export(export: Path, keys: TrustedKeys, policy: Policy | None) -> None:
    with audit_errors():
        found = verify_export(export, keys, policy)
    checkpoint = found.checkpoint
    click.echo(printable(f"verified: {checkpoint.origin}, {found.count} entries of {checkpoint.size}"))
    if found.count:
        last = found.first + found.count - 1
        click.echo(
            f"  leaves {found.first} to {last}, none left out; {found.count - found.quarantined} records,"
            f" {found.quarantined} in quarantine"
        )
    _print_signatures(keys, checkpoint, found.cosignatures)


def _verify_archives(archive: Path, keys: TrustedKeys, policy: Policy | None) -> None:
    for found in verify_archives(archive, keys, policy):
        manifest, checkpoint = found.manifest, found.checkpoint
        count = manifest.endLeaf - manifest.firstLeaf
        click.echo(printable(f"verified: {checkpoint.origin}, {count} archived entries of {checkpoint.size}"))
        click.echo(
            f"  leaves {manifest.firstLeaf} to {manifest.endLeaf - 1}, none left out;"
            f" {count - found.quarantined} records, {found.quarantined} in quarantine"
        )
        click.echo(f"  the manifest has the SHA-256 {found.sha256.hex()}")
        _print_signatures(keys, checkpoint, found.cosignatures)


def _print_signatures(keys: TrustedKeys, checkpoint: Checkpoint, found: tuple[Cosignature, ...]) -> None:
    trusted = " or ".join(key.id.hex() for key in keys.keys)
    click.echo(f"  checkpoint of size {checkpoint.size}, signed by the key {trusted}")
    _print_cosignatures(found)


def _print_cosignatures(found: tuple[Cosignature, ...]) -> None:
    for each in found:
        line = f"  cosigned by {each.key.name} (key {each.key.id.hex()}) at {utc(each.seconds)}"
        click.echo(printable(line))


def _processors() -> int:
    """Return the number of processors that this process may use, at most `_MOST_DEFAULT`."""
    # macOS has no affinity.
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(found, _MOST_DEFAULT)


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
    _print_first(found.first)
    uncovered = found.records + found.quarantined - found.covered
    if uncovered:
        click.echo(
            f"  {uncovered} entries are newer than the newest checkpoint: no signature proves them yet"
        )


def _print_first(first: int) -> None:
    if first:
        click.echo(f"  entries before {first} were not read again, and chains were not checked")


def _print_cosigners(found: Verified, policy: Policy | None) -> None:
    if policy is None:
        return
    for each in found.cosigners:
        name = f"witness {each.key.name} (key {each.key.id.hex()})"
        click.echo(printable(f"  {name} cosigned {each.count} checkpoints, the newest of size {each.newest}"))
    lacking = found.records + found.quarantined - found.witnessed
    click.echo(
        printable(f"  the newest checkpoint with its quorum, {policy}, covers {found.witnessed} entries")
    )
    if lacking:
        click.echo(f"  {lacking} entries are newer: their checkpoints lack the quorum")


def _exit_with_findings(chains: tuple[ChainFault, ...], refusals: tuple[Refusal, ...]) -> None:
    if chains:
        click.echo(f"broken chains of producers: {len(chains)}", err=True)
        for fault in chains:
            click.echo(f"  {printable(str(fault))}", err=True)
    if refusals:
        click.echo(f"answers of witnesses that contradict the log: {len(refusals)}", err=True)
        for each in refusals[:_SHOWN_REFUSALS]:
            answer = f"{each.status} {each.answer.strip()}"
            text = f"{each.refused_at} {each.witness} at checkpoint {each.size}: {answer}"
            click.echo(f"  {printable(text)[:200]}", err=True)
        click.echo("  see assay audit refusals", err=True)
    if chains or refusals:
        sys.exit(_FINDINGS)


@click.command("verify-proof")
@click.argument("proof", type=click.File("rb"))
@key_option
@signatures_option
@witness_policy
def verify_proof_command(proof: Any, key: Path, signatures: Any, policy: Policy | None) -> None:  # noqa: ANN401  click's types
    """Verify a proof of either format; the log's public key suffices.

    \b
    Example:
      assay audit verify-proof record.tlog-proof --key audit/verifier.key
    """
    with audit_errors():
        proven = verify_proof(proof.read(), load_trusted(key, signatures), policy)
    checkpoint = proven.checkpoint
    entry = "quarantine entry of record" if proven.is_quarantined else "record"
    place = f"leaf {proven.index} of the log {checkpoint.origin} of size {checkpoint.size}"
    click.echo(printable(f"proven: {entry} {named(proven.record_id)} is in the log, {place}"))
    _print_cosignatures(proven.cosignatures)
