"""The audit log behind a Collector: Merkle log, signed checkpoints, verifier and proofs.

In the exporter host's configuration:

    exporters:
      audit: {type: audit, database: /var/lib/assay/audit/log.db, origin: audit.example.com/log}

For the auditor:

    from assay.exporters.audit import load_verifier, verify

    verify(Path("log.db"), load_verifier(Path("verifier.key")))  # raises, and names the first fault
"""

from assay.exporters.audit._archive import archive
from assay.exporters.audit._archive_files import VerifiedArchive, archive_folders, verify_archive
from assay.exporters.audit._archives import Archive, archives
from assay.exporters.audit._consistency import consistency
from assay.exporters.audit._cosigned import Refusal, refusals
from assay.exporters.audit._cosigned_check import Cosigned
from assay.exporters.audit._errors import (
    ArchivedError,
    ArchiveError,
    AuditLogError,
    DatabaseError,
    InUseError,
    KeyFormatError,
    NotFoundError,
    OpenError,
    ProofError,
    QuorumError,
    RecordIdConflictError,
    RecordMismatchError,
    RollbackError,
    SchemaMismatchError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
    named,
)
from assay.exporters.audit._export import export_records, verify_export
from assay.exporters.audit._key_list import ListedKey, log_keys, producer_keys
from assay.exporters.audit._keys import load_trusted, load_verifier, read_policy
from assay.exporters.audit._migration import migrate
from assay.exporters.audit._ocsf import ocsf_event
from assay.exporters.audit._postgresql_address import Location, PostgreSQL
from assay.exporters.audit._proof import prove, prove_archived
from assay.exporters.audit._query import (
    FIELDS,
    Query,
    newest_checkpoint,
    quarantined,
    quarantined_payload,
    query,
)
from assay.exporters.audit._schema import VERSION as SCHEMA_VERSION
from assay.exporters.audit._sequence import ChainFault
from assay.exporters.audit._sink import AuditSink, Settings
from assay.exporters.audit._tiles import export_tiles
from assay.exporters.audit._times import parse_time
from assay.exporters.audit._verify import Verified, verify
from assay.exporters.audit._verify_checkpoints import Signed
from assay.exporters.audit._verify_tiles import VerifiedTiles, verify_tiles
from assay.exporters.audit._witness import Witness
from assay.exporters.audit._witness_routes import witness_app
from assay.proof import Policy, Proven, TrustedKeys, verify_proof
from assay.proof.note import Checkpoint, VerifierKey, open_checkpoint

__all__ = [
    "FIELDS",
    "SCHEMA_VERSION",
    "Archive",
    "ArchiveError",
    "ArchivedError",
    "AuditLogError",
    "AuditSink",
    "ChainFault",
    "Checkpoint",
    "Cosigned",
    "DatabaseError",
    "InUseError",
    "KeyFormatError",
    "ListedKey",
    "Location",
    "NotFoundError",
    "OpenError",
    "Policy",
    "PostgreSQL",
    "ProofError",
    "Proven",
    "Query",
    "QuorumError",
    "RecordIdConflictError",
    "RecordMismatchError",
    "Refusal",
    "RollbackError",
    "SchemaMismatchError",
    "Settings",
    "SignatureError",
    "Signed",
    "TreeMismatchError",
    "TrustedKeys",
    "VerificationError",
    "Verified",
    "VerifiedArchive",
    "VerifiedTiles",
    "VerifierKey",
    "Witness",
    "archive",
    "archive_folders",
    "archives",
    "consistency",
    "export_records",
    "export_tiles",
    "load_trusted",
    "load_verifier",
    "log_keys",
    "migrate",
    "named",
    "newest_checkpoint",
    "ocsf_event",
    "open_checkpoint",
    "parse_time",
    "producer_keys",
    "prove",
    "prove_archived",
    "quarantined",
    "quarantined_payload",
    "query",
    "read_policy",
    "refusals",
    "verify",
    "verify_archive",
    "verify_export",
    "verify_proof",
    "verify_tiles",
    "witness_app",
]
