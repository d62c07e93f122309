"""What goes wrong in the log, and what a verification finds: it raises, and never returns a verdict."""

from __future__ import annotations


class AuditLogError(Exception):
    """Base of every error of this package."""


class OpenError(AuditLogError):
    """The log cannot be opened: not there, no log, of another version, or with a key that is not its own."""


class InUseError(OpenError):
    """Another process has the log open as its sink; there is one sequencer."""


class ConflictError(AuditLogError):
    """The log holds another record under the same id.

    Args:
        record_id: The id that is taken.
    """

    def __init__(self, record_id: str) -> None:
        super().__init__(
            f"record {record_id}: the log holds another record under this id: give a new one its own id"
        )
        self.record_id = record_id


class NotFoundError(AuditLogError):
    """There is no such record, or no checkpoint covers it yet."""


class KeyFormatError(AuditLogError):
    """A verifier key or signing key cannot be read."""


class VerificationError(AuditLogError):
    """Something does not hold; the message names what. Base of what verification raises."""


class SignatureError(VerificationError):
    """A checkpoint is not signed by the key, or malformed."""


class RecordMismatchError(VerificationError):
    """A stored record, or an entry in quarantine, is not what was logged."""


class TreeMismatchError(VerificationError):
    """The entries do not add up to a signed root: something was inserted, removed, swapped or rewritten."""


class RollbackError(VerificationError):
    """The log is shorter than, or at odds with, a checkpoint that was kept elsewhere."""


class SchemaMismatchError(VerificationError):
    """The tables, triggers or the view are not those of the schema's version."""


class ChainError(VerificationError):
    """A producer's chain (`audit.sequence.*`) has a gap, a fork, or goes on after its end."""


class ProofError(VerificationError):
    """A proof file is malformed, or does not prove what it says."""
