"""Verify proofs of an audit log, without its database and without a server.

    from assay.proof import VerifierKey, verify_proof

    key = VerifierKey.parse(Path("verifier.key").read_text())
    proven = verify_proof(Path("record.tlog-proof").read_bytes(), key)
    print(proven.leaf["record"])

`verify_proof` raises if the log does not contain the entry. docs/reference/audit-log.md gives every byte.
"""

from assay.proof.cosignature import Cosignature, WitnessKey
from assay.proof.errors import (
    AuditLogError,
    KeyFormatError,
    ProofError,
    QuorumError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
)
from assay.proof.export import VerifiedExport, verify_export
from assay.proof.note import Checkpoint, VerifierKey, open_checkpoint
from assay.proof.policy import Policy
from assay.proof.trusted_keys import TrustedKeys
from assay.proof.verification import Proven, verify_proof

__all__ = [
    "AuditLogError",
    "Checkpoint",
    "Cosignature",
    "KeyFormatError",
    "Policy",
    "ProofError",
    "Proven",
    "QuorumError",
    "SignatureError",
    "TreeMismatchError",
    "TrustedKeys",
    "VerificationError",
    "VerifiedExport",
    "VerifierKey",
    "WitnessKey",
    "open_checkpoint",
    "verify_export",
    "verify_proof",
]
