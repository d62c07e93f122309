"""Export the entries of a period, each with its inclusion proof; `assay.proof.export` has the format."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import orjson

from assay.exporters.audit._archives import read_archives
from assay.exporters.audit._cosigned import newest_note, published_note
from assay.exporters.audit._errors import ArchivedError, AuditLogError, NotFoundError, OpenError, named
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import Reader, cached_tree, leaves, open_read_only, period
from assay.exporters.audit._tiles import checkpoint_size
from assay.exporters.audit._times import moment
from assay.proof.export import TYPE, VerifiedExport
from assay.proof.export import verify_export as verify_lines
from assay.proof.note import VerifierKey
from assay.proof.policy import Policy
from assay.proof.tree import inclusion_proof
from assay.proof.trusted_keys import TrustedKeys

_BATCH = 256  # entries that are read at once


def export_records(  # noqa: PLR0913  one for each option
    database: Location,
    file: Path,
    *,
    since: str | None = None,
    until: str | None = None,
    witnessed: bool = False,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> int:
    """Write the entries of a period, without a gap from the first to the last, each with its proof.

    Args:
        database: The log's database.
        file: The file; it must not exist.
        since: Start of the sink time, as in `Query`. None: the start of the log.
        until: End of the sink time, exclusive. None: its end.
        witnessed: Prove against the newest checkpoint that had its quorum of cosignatures, if there is one.
        progress: Called from time to time with the number of written entries and the number of all entries.

    Returns:
        The number of entries.

    Raises:
        NotFoundError: The period has no entry that a checkpoint covers.
        ArchivedError: Entries of the period may be archived.
        OpenError: The database cannot be read, or the file exists or cannot be written.
        AuditLogError: A time cannot be parsed.
    """
    start, end = moment(since or "0001-01-01"), moment(until or "9999-12-31T23:59:59.999999")
    with closing(open_read_only(database)) as connection:
        connection.begin()
        note = (published_note if witnessed else newest_note)(connection)
        if note is None:
            raise AuditLogError(f"{database}: the log has no checkpoint")
        size = checkpoint_size(note)
        _require_unarchived(connection, start)
        first, last = period(connection, start, end)
        last = min(last, size)
        if first >= last:
            raise NotFoundError("the period has no entry that a checkpoint covers")
        try:
            with file.open("xb") as output:
                output.write(header_line(note, last - first))
                for done, line in enumerate(_lines(connection, first, last, size), 1):
                    output.write(line)
                    if not done % _BATCH:
                        progress(done, last - first)
        except OSError as error:
            raise OpenError(f"{file}: the export cannot be written: {error.strerror}") from error
    return last - first


def verify_export(file: Path, key: VerifierKey | TrustedKeys, policy: Policy | None = None) -> VerifiedExport:
    """Verify a file that `export_records` wrote; see `assay.proof.export`.

    Raises:
        VerificationError: It does not verify.
        OpenError: It cannot be read.
    """
    try:
        with file.open("rb") as lines:
            return verify_lines(lines, key, policy)
    except OSError as error:
        raise OpenError(f"{file}: cannot be read: {error.strerror}") from error


def _require_unarchived(connection: Reader, start: str) -> None:
    """Check that the entries from a time on are in the database.

    Raises:
        ArchivedError: Some may be archived.
    """
    archived = read_archives(connection)
    if archived and start < (end := max(each.older_than for each in archived)):
        names = ", ".join(named(each.name) for each in archived)
        raise ArchivedError(
            f"entries before {end} are archived, in {names}: export from that time on, and add the archives"
        )


def _lines(connection: Reader, first: int, last: int, size: int) -> Iterator[bytes]:
    subtrees = cached_tree(connection)
    for start in range(first, last, _BATCH):
        for index, leaf in enumerate(leaves(connection, start, min(start + _BATCH, last)), start):
            yield entry_line(index, leaf, inclusion_proof(index, size, subtrees))


def header_line(note: str, entries: int) -> bytes:
    """Return the first line of an export: its checkpoint, and the number of the other lines."""
    return orjson.dumps({"type": TYPE, "checkpoint": note, "entries": entries}) + b"\n"


def entry_line(index: int, leaf: bytes, path: Iterable[bytes]) -> bytes:
    """Return the line of an entry.

    Args:
        index: Index of the leaf.
        leaf: The leaf.
        path: Its inclusion proof.
    """
    members = {
        "leafIndex": index,
        "leaf": orjson.Fragment(leaf),  # unchanged, as it was hashed
        "inclusionProof": [base64.b64encode(node).decode() for node in path],
    }
    return orjson.dumps(members) + b"\n"
