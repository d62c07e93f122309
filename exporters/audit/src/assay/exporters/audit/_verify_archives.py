"""Compare the archives of a log with its database."""

from __future__ import annotations

from pathlib import Path

import orjson

from assay.exporters.audit._archive_files import archived_leaves, archived_row, verify_archive
from assay.exporters.audit._archives import Archive, read_archives
from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import ArchiveError, TreeMismatchError
from assay.exporters.audit._rows import ARCHIVED, RowChecker
from assay.exporters.audit._storage import Reader
from assay.proof.trusted_keys import TrustedKeys

_EXTENT = "SELECT count(*), coalesce(max(leaf_index), -1) + 1 FROM archived"
_NOTE = "SELECT note FROM checkpoints WHERE size = ?"


class ArchiveChecker:
    """Checks the archives of a log.

    Args:
        log: The log, within a transaction.
        keys: The log's verifier keys.
        folder: Folder of the archives. None: only the hashes in the database are checked.
    """

    def __init__(self, log: Reader, keys: TrustedKeys, folder: Path | None) -> None:
        self._log = log
        self._keys = TrustedKeys(keys.all)  # the log has the checkpoints too, and its newest one has its keys
        self._folder = folder
        self.archives = tuple(read_archives(log))

    @property
    def end(self) -> int:
        """The first leaf that is not archived."""
        return self.archives[-1].end if self.archives else 0

    @property
    def are_verified(self) -> bool:
        """Whether the archives are checked; without any, there is nothing to check."""
        return self._folder is not None or not self.archives

    def check(self, rows: RowChecker, first: int) -> None:
        """Check that archives follow each other from leaf 0 on, and have the entries that the log lacks.

        The tree must prove the hashes in the database.

        Args:
            rows: Receives the archived records.
            first: The first leaf whose record it receives.

        Raises:
            VerificationError: An archive is missing, does not verify, or differs from the log.
            OpenError: A file cannot be read.
        """
        end = 0
        for each in self.archives:
            if each.first != end or each.end <= end:
                raise ArchiveError(f"archive {each.name!r}: it does not follow leaf {end - 1}")
            end = each.end
        extent = self._log.execute(_EXTENT).fetchone()
        if extent != (end, end):
            raise TreeMismatchError(
                f"the log has hashes of {extent[0]} archived entries up to leaf {extent[1] - 1}, its archives"
                f" have the leaves before {end}: entries were removed without an archive"
            )
        if self._folder is not None:
            for each in self.archives:
                self._check_files(each, self._folder / each.name, rows, first)

    def _check_files(self, archive: Archive, place: Path, rows: RowChecker, first: int) -> None:
        found = verify_archive(place, self._keys)
        manifest = found.manifest
        stored = (archive.first, archive.end, archive.older_than, archive.sha256)
        if (manifest.firstLeaf, manifest.endLeaf, manifest.olderThan, found.sha256) != stored:
            raise ArchiveError(f"{place}: it is not the archive that the log names: one of them was changed")
        (note,) = self._log.execute(_NOTE, (found.checkpoint.size,)).fetchone() or (None,)
        if note is None or self._keys.open_earlier(note)[0] != found.checkpoint:
            raise ArchiveError(f"{place}: its checkpoint {found.checkpoint.size} is not one of the log")
        stubs = self._log.stream(ARCHIVED, (archive.first, archive.end - 1), 1000)
        for (index, leaf), row in zip(archived_leaves(place), stubs, strict=False):
            self._compare(index, leaf, row)
            if index >= first and row[1] == "record":
                content = orjson.loads(leaf)
                rows.add(index, content["record"], content["resource"], row[2])

    def _compare(self, index: int, leaf: bytes, row: Row) -> None:
        number, kind, content_hash, record_id, *rest = archived_row(index, leaf)
        record_id = None if record_id is None else self._log.text(record_id)
        if (number, kind, content_hash, record_id, *rest) != tuple(row):
            raise ArchiveError(f"leaf {index}: its row in the table archived differs from the archive")
