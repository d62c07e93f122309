"""Verify proofs that a log contains a record or a quarantine entry. The log's public key suffices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay.proof.cosignature import Cosignature
from assay.proof.errors import ProofError, VerificationError, named
from assay.proof.json_proof import parse_json, parse_object
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.policy import Policy
from assay.proof.tlog_proof import TlogProof, parse
from assay.proof.tree import leaf_hash, verify_inclusion
from assay.proof.trusted_keys import TrustedKeys
from assay.semconv import attributes as keys


@dataclass(frozen=True, slots=True)
class Proven:
    """The result of a verified proof.

    Args:
        record_id: Id of the record; of a quarantine entry the id that it claims, or empty.
        leaf: The record, its resource and the sink time, or the quarantine entry, as logged.
        index: Index of the leaf.
        checkpoint: Checkpoint of the log that contains the leaf.
        cosignatures: Those of the policy's witnesses on the checkpoint; empty without a policy.
    """

    record_id: str
    leaf: dict[str, Any]
    index: int
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...] = ()

    @property
    def is_quarantined(self) -> bool:
        """Whether the leaf is a quarantine entry, which proves only that it was received."""
        return "quarantine" in self.leaf


def verify_proof(proof: bytes, key: VerifierKey | TrustedKeys, policy: Policy | None = None) -> Proven:
    """Verify a proof, a C2SP tlog-proof or a JSON object, with the log's public keys alone.

    Args:
        proof: The proof.
        key: The log's verifier key, or the keys that may or must have signed the proof's checkpoint. A
            retired key does not suffice.
        policy: The witnesses that must have cosigned the proof's checkpoint.

    Raises:
        ProofError: The proof is malformed.
        QuorumError: The checkpoint lacks cosignatures that the policy requires.
        SignatureError: The checkpoint is not signed by the key, or by the keys that are required.
        TreeMismatchError: The entry is not in the tree that the checkpoint commits to.
    """
    parsed = parse_json(proof) if proof.lstrip()[:1] == b"{" else _parse_text(proof)
    checkpoint = TrustedKeys.of(key).open(parsed.checkpoint)
    cosigned = () if policy is None else tuple(policy.verify(parsed.checkpoint))
    leaf = parse_object(parsed.leaf)
    record_id = _record_id(leaf)
    try:
        verify_inclusion(leaf_hash(parsed.leaf), parsed.index, checkpoint.size, parsed.path, checkpoint.root)
    except VerificationError as error:
        raise type(error)(f"record {named(record_id)}: {error}") from error
    return Proven(record_id, leaf, parsed.index, checkpoint, cosigned)


def _record_id(leaf: dict[str, Any]) -> str:
    """Return the id of the record in a leaf, or the id that a quarantine entry claims."""
    try:
        if "quarantine" in leaf:
            return str(leaf["quarantine"]["recordId"] or "")
        return str(leaf["record"]["attributes"][keys.AUDIT_RECORD_ID]["stringValue"])
    except (KeyError, TypeError) as error:
        raise ProofError(f"the proof's leaf is not an entry of an audit log: {error!r}") from error


def _parse_text(proof: bytes) -> TlogProof:
    try:
        return parse(proof.decode())
    except UnicodeDecodeError as error:
        raise ProofError(f"not a proof: {error}") from error
