"""Move the oldest entries of a log to an archive, a folder that verifies alone; see `_archive_files`.

An entry is deleted only when the archive with it is complete on disk and was verified by reading it back. A
crash leaves the entries in the database, in the archive, or in both; the next run goes on from there.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from assay.exporters.audit._archive_files import (
    ENTRIES,
    MANIFEST,
    PAYLOADS,
    Manifest,
    VerifiedArchive,
    archived_leaves,
    archived_row,
    new_file,
    payload_line,
    verify_archive,
)
from assay.exporters.audit._archives import Archive
from assay.exporters.audit._cosigned import newest_note, published_note
from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import (
    ArchiveError,
    AuditLogError,
    DuplicateError,
    InUseError,
    OpenError,
    TreeMismatchError,
    VerificationError,
)
from assay.exporters.audit._export import entry_line, header_line
from assay.exporters.audit._id_product import IdProduct, random_point
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._rows import RowChecker, live_entries
from assay.exporters.audit._sequence import Chains
from assay.exporters.audit._storage import Owner, archived_end, cached_tree, first_since, open_owner, size
from assay.exporters.audit._tiles import checkpoint_size
from assay.exporters.audit._times import moment
from assay.proof.note import VerifierKey, signers
from assay.proof.policy import Policy
from assay.proof.tree import inclusion_proof
from assay.proof.trusted_keys import TrustedKeys

_MONTH = re.compile(r"\d{4}-\d\d").fullmatch
_QUARANTINE_WIDTH = 11  # columns of a row of quarantine
_PAYLOAD = 6  # position in such a row
MOST = 1 << 18
"""Entries of an archive: sinks wait while they are deleted."""
_EVERY = 1000  # entries between two reports of progress
_PRESENT = """SELECT (SELECT count(*) FROM audit_log JOIN archived USING (leaf_index)
        WHERE leaf_index >= ?1 AND leaf_index < ?2 AND audit_log.leaf_hash = archived.leaf_hash)
    + (SELECT count(*) FROM quarantine JOIN archived USING (leaf_index)
        WHERE leaf_index >= ?1 AND leaf_index < ?2 AND quarantine.leaf_hash = archived.leaf_hash)"""
_INSERTED_AT = """SELECT inserted_at FROM audit_log WHERE leaf_index = ?1
                  UNION ALL SELECT inserted_at FROM quarantine WHERE leaf_index = ?1"""
_DELETE = (
    "DELETE FROM audit_log WHERE leaf_index >= ? AND leaf_index < ?",
    "DELETE FROM quarantine WHERE leaf_index >= ? AND leaf_index < ?",
)

Progress = Callable[[int, int], object]


class _Part(NamedTuple):
    """The entries to archive, and the checkpoint that covers them."""

    first: int
    end: int
    older_than: str
    note: str

    @property
    def name(self) -> str:
        """Name of the archive's folder."""
        return f"{self.first}-{self.end - 1}"


def archive(  # noqa: PLR0913  one for each option
    database: Location,
    key: VerifierKey | TrustedKeys,
    before: str,
    folder: Path,
    *,
    witnessed: bool = False,
    policy: Policy | None = None,
    progress: Progress = lambda _done, _total: None,
) -> list[Archive]:
    """Move the entries before a time from a log to archives.

    They are the entries up to the first one with a later sink time, as far as a checkpoint covers them. An
    archive ends with the month (UTC) of its first entry, and has at most `MOST` entries. The log keeps the
    hashes. No sink may have an SQLite log open. Sinks of a PostgreSQL log go on, and wait
    while the entries of an archive are deleted.

    Args:
        database: The log's database. In PostgreSQL its role must own the tables.
        key: The log's verifier key, or several; the archive is verified with them before entries are deleted.
        before: The time, exclusive: a month such as `2026-08`, or a time as in `Query`.
        folder: Folder of all archives; it is created. Each archive is a folder in it.
        witnessed: Take the newest checkpoint that had its quorum of cosignatures, if there is one.
        policy: The witnesses that must have cosigned the checkpoint.
        progress: Called from time to time with the number of written entries and the number of all entries.

    Returns:
        The archives; none if no entry is left to archive.

    Raises:
        VerificationError: An entry, the checkpoint, or an archive of the same entries does not verify.
        InUseError: A sink has the SQLite log open, or another process writes archives into the folder.
        OpenError: The database or a file cannot be read or written, or the role does not own the tables.
        AuditLogError: The time cannot be parsed, or is in the future.
    """
    keys, older_than, done = TrustedKeys.of(key), _past(before), list[Archive]()
    try:
        with open_owner(database) as log:
            while (part := _part(log, older_than, witnessed=witnessed)) is not None:
                keys.open(part.note)
                if policy is not None:
                    policy.verify(part.note)
                with _locked(folder):
                    verified = _write(log, part, keys, policy, folder, progress)
                    done.append(_remove(log, part, verified, folder))
            return done
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise OpenError(f"{database}: the log cannot be archived: {error}") from error
    except OSError as error:
        raise OpenError(f"{folder}: the archive cannot be written: {error}") from error


def _past(text: str) -> str:
    """Return a time in the past, in the table's form."""
    time = moment(f"{text}-01" if _MONTH(text) else text)
    if time > moment("0s"):
        raise AuditLogError(f"{text[:80]!r} is in the future: entries are archived by their age")
    return time


def _part(log: Owner, older_than: str, *, witnessed: bool) -> _Part | None:
    """Return the next entries to archive; None if there are none."""
    note = (published_note if witnessed else newest_note)(log)
    if note is None:
        raise VerificationError("the log has no checkpoint: nothing proves its entries")
    first = archived_end(log)
    for (inserted_at,) in log.execute(_INSERTED_AT, (first,)).fetchall():
        older_than = min(older_than, _next_month(inserted_at))
    newer = first_since(log, older_than)
    end = min(first + MOST, checkpoint_size(note), size(log) if newer is None else newer)
    return _Part(first, end, older_than, note) if first < end else None


def _next_month(time: str) -> str:
    """Return the start of the month after a time, both in the table's form."""
    years, month = divmod(int(time[:4]) * 12 + int(time[5:7]), 12)
    return moment(f"{years:04d}-{month + 1:02d}-01")


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the lock of the folder of archives; the kernel releases it when the process exits."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sync(folder.parent)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(f"{folder}: another process writes archives into it") from error
        yield
    finally:
        os.close(descriptor)


def _write(  # noqa: PLR0913, PLR0917  what an archive consists of
    log: Owner, part: _Part, keys: TrustedKeys, policy: Policy | None, folder: Path, progress: Progress
) -> VerifiedArchive:
    """Write the archive, sync it to disk, and verify it; one that a killed run has left is verified only."""
    place = folder / part.name
    if place.exists():
        found = verify_archive(place, keys, policy)
        for path in (place / ENTRIES, place / PAYLOADS, place / MANIFEST, place, folder):
            _sync(path)  # the killed run may not have done it
        return found
    new = folder / f".{part.name}.new"
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    digests = _write_entries(log, part, new, progress)
    manifest = Manifest(
        keys.name,
        part.first,
        part.end,
        part.older_than,
        checkpoint_size(part.note),
        [str(each) for each in signers(part.note, keys.all)[1]],
        digests,
    )
    with new_file(new / MANIFEST) as file:
        file.write(manifest.encode())
    _sync(new)
    found = verify_archive(new, keys, policy)
    new.rename(place)
    _sync(folder)
    return found


def _write_entries(log: Owner, part: _Part, new: Path, progress: Progress) -> dict[str, str]:
    """Write entries and payloads, and return the SHA-256 of each file."""
    total, covered = part.end - part.first, checkpoint_size(part.note)
    subtrees = cached_tree(log)
    with new_file(new / ENTRIES) as entries, new_file(new / PAYLOADS) as payloads:
        entries.write(header_line(part.note, total))
        for done, row in enumerate(_checked(log, part), 1):
            index, leaf = row[0], row[-2]
            entries.write(entry_line(index, leaf, inclusion_proof(index, covered, subtrees)))
            if len(row) == _QUARANTINE_WIDTH:
                payloads.write(payload_line(index, row[_PAYLOAD]))
            if not done % _EVERY:
                progress(done, total)
        return {ENTRIES: entries.sha256(), PAYLOADS: payloads.sha256()}


def _checked(log: Owner, part: _Part) -> Iterator[Row]:
    """Yield the rows of the part; each is checked against its leaf.

    An archive has only the leaves, so it would hide a column that was changed.
    """
    checker, expected = RowChecker(log, IdProduct(random_point()), Chains()), part.first
    log.begin()  # PostgreSQL streams rows within a transaction only
    with closing(live_entries(log, part.first)) as rows:
        for row in rows:
            if row[0] != expected or expected == part.end:
                break
            checker.check(row)
            yield row
            expected += 1
    if expected != part.end:
        raise TreeMismatchError(f"leaf {expected} is missing from the log: run assay audit verify")
    log.execute("COMMIT")


def _remove(log: Owner, part: _Part, verified: VerifiedArchive, folder: Path) -> Archive:
    """Delete the entries of an archive, and store their hashes, in one transaction."""
    if (verified.manifest.firstLeaf, verified.manifest.endLeaf) != (part.first, part.end):
        raise ArchiveError(f"{folder / part.name}: it has other leaves than its name says")
    row = (
        part.first,
        part.end,
        verified.manifest.olderThan,
        part.name,
        verified.sha256,
        moment("0s"),
    )
    try:
        with log.removal(_rows(log, folder / part.name)):
            (present,) = log.execute(_PRESENT, (part.first, part.end)).fetchone()
            if present != part.end - part.first:
                raise ArchiveError(f"{folder / part.name}: its leaves are not those of the log")
            for statement in _DELETE:
                log.execute(statement, (part.first, part.end))
            log.insert("archives", [row])
    except DuplicateError as error:
        raise InUseError("another process has archived the same entries: run the command again") from error
    return Archive(*row)


def _rows(log: Owner, place: Path) -> Iterator[Row]:
    """Yield the rows of `archived` for the leaves of an archive."""
    for index, leaf in archived_leaves(place):
        number, kind, content_hash, record_id, *rest = archived_row(index, leaf)
        yield (number, kind, content_hash, record_id and log.text(record_id), *rest)


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
