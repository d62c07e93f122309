"""Errors of the log; those of a proof and of a checkpoint are in `assay.proof.errors`."""

from __future__ import annotations

from assay.proof.errors import (
    AuditLogError,
    KeyFormatError,
    ProofError,
    QuorumError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
    named,
    shortened,
)

__all__ = [
    "ArchiveError",
    "ArchivedError",
    "AuditLogError",
    "DatabaseError",
    "DuplicateError",
    "InUseError",
    "KeyFormatError",
    "NotFoundError",
    "OpenError",
    "ProofError",
    "QuorumError",
    "RecordIdConflictError",
    "RecordMismatchError",
    "RollbackError",
    "SchemaMismatchError",
    "SignatureError",
    "TreeMismatchError",
    "VerificationError",
    "named",
    "shortened",
]


class OpenError(AuditLogError):
    """The log cannot be opened: missing, not an audit log, of another schema version, or with another key."""


class InUseError(OpenError):
    """Another process has the log open for writing; a log has one writer."""


class DatabaseError(OpenError):
    """A database server cannot be reached, or did not execute a statement."""


class DuplicateError(DatabaseError):
    """A row with the same key is already in the table."""


class RecordIdConflictError(AuditLogError):
    """The log contains another record with the same id.

    Args:
        record_id: The id that is already in use.
    """

    def __init__(self, record_id: str) -> None:
        super().__init__(
            f"record {named(record_id)}: the log contains another record with this id: use another id"
        )
        self.record_id = record_id


class NotFoundError(AuditLogError):
    """The log does not contain the record, or no checkpoint covers the record yet."""


class ArchivedError(NotFoundError):
    """The entry is in an archive, not in the database."""


class ArchiveError(VerificationError):
    """An archive is missing, is malformed, or differs from the log."""


class RecordMismatchError(VerificationError):
    """A stored record or a quarantined entry differs from its logged form."""


class RollbackError(VerificationError):
    """The log is shorter than a checkpoint that was kept elsewhere, or contradicts it."""


class SchemaMismatchError(VerificationError):
    """A table, an index, a trigger or the view differs from the schema's version."""
