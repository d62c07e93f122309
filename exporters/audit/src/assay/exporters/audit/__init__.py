"""The audit log behind a Collector: Merkle log, signed checkpoints, verifier and proofs.

In the exporter host's configuration:

    exporters:
      audit: {type: audit, database: /var/lib/assay/audit/log.db, origin: audit.example.com/log}

and for the auditor:

    from assay.exporters.audit import load_verifier, verify

    verify(Path("log.db"), load_verifier(Path("verifier.key")))  # raises, naming what does not hold
"""

from assay.exporters.audit.errors import (
    AuditLogError,
    ChainError,
    ConflictError,
    InUseError,
    KeyFormatError,
    NotFoundError,
    OpenError,
    ProofError,
    RecordMismatchError,
    RollbackError,
    SchemaMismatchError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
)
from assay.exporters.audit.keys import load_verifier
from assay.exporters.audit.note import Checkpoint, VerifierKey, open_checkpoint
from assay.exporters.audit.proof import prove, verify_proof
from assay.exporters.audit.query import Query, quarantined, query
from assay.exporters.audit.sink import AuditSink, Settings
from assay.exporters.audit.verify import Verified, verify

__all__ = [
    "AuditLogError",
    "AuditSink",
    "ChainError",
    "Checkpoint",
    "ConflictError",
    "InUseError",
    "KeyFormatError",
    "NotFoundError",
    "OpenError",
    "ProofError",
    "Query",
    "RecordMismatchError",
    "RollbackError",
    "SchemaMismatchError",
    "Settings",
    "SignatureError",
    "TreeMismatchError",
    "VerificationError",
    "Verified",
    "VerifierKey",
    "load_verifier",
    "open_checkpoint",
    "prove",
    "quarantined",
    "query",
    "verify",
    "verify_proof",
]
