"""A part of a log as a file of its own: JSON lines, each with the proof of an entry.

The first line has `type`, `checkpoint`, the signed note that all proofs lead to, and `entries`, the number of
further lines, which shows a file that was cut. Each further line has
`leafIndex`, `leaf` (an object) and `inclusionProof` (base64 hashes, RFC 6962 section 2.1.1) of one entry, in
the order of the log without a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from assay.proof.cosignature import Cosignature
from assay.proof.errors import ProofError, VerificationError
from assay.proof.json_proof import parse_entry, parse_object
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.policy import Policy
from assay.proof.tree import leaf_hash, verify_inclusion
from assay.proof.trusted_keys import TrustedKeys

TYPE = "assay.audit.export/v1"
_HEADER = {"type", "checkpoint", "entries"}


@dataclass(frozen=True, slots=True)
class VerifiedExport:
    """The result of a verified export.

    Args:
        checkpoint: The checkpoint that the proofs lead to.
        first: Index of the first leaf.
        count: Number of entries; their indexes are consecutive, so none between them is left out.
        quarantined: Number of quarantine entries among them.
        cosignatures: Those of the policy's witnesses on the checkpoint; empty without a policy.
    """

    checkpoint: Checkpoint
    first: int
    count: int
    quarantined: int
    cosignatures: tuple[Cosignature, ...]


def verify_export(
    lines: Iterable[bytes],
    key: VerifierKey | TrustedKeys,
    policy: Policy | None = None,
    read: Callable[[dict[str, Any]], object] = lambda _leaf: None,
) -> VerifiedExport:
    """Verify an exported part of a log with the log's public keys alone. One line at a time is in memory.

    Args:
        lines: The lines of the file.
        key: The log's verifier key, or several.
        policy: The witnesses that must have cosigned the checkpoint.
        read: Called with each leaf that is proven, in the order of the log.

    Raises:
        ProofError: A line is malformed, or an entry is left out.
        SignatureError: The checkpoint is not signed by the key.
        QuorumError: The checkpoint lacks cosignatures that the policy requires.
        TreeMismatchError: An entry is not in the tree that the checkpoint commits to.
    """
    numbered = enumerate(iter(lines), 1)
    note, entries = _header(numbered)
    checkpoint = TrustedKeys.of(key).open(note)
    cosignatures = () if policy is None else tuple(policy.verify(note))
    first = count = quarantined = 0
    for number, line in numbered:
        try:
            index, content, path = parse_entry(line)
            first = first if count else index
            if index != first + count:
                raise ProofError(f"leaf {index} follows leaf {first + count - 1}: an entry was left out")
            verify_inclusion(leaf_hash(content), index, checkpoint.size, path, checkpoint.root)
        except VerificationError as error:
            raise type(error)(f"line {number}: {error}") from error
        leaf = parse_object(content)
        count, quarantined = count + 1, quarantined + ("quarantine" in leaf)
        read(leaf)
    if count != entries:
        raise ProofError(f"the export has {count} entries, its first line says {entries}: it was cut")
    return VerifiedExport(checkpoint, first, count, quarantined, cosignatures)


def _header(numbered: Iterator[tuple[int, bytes]]) -> tuple[str, int]:
    """Return the checkpoint, and the number of entries."""
    _, line = next(numbered, (1, b""))
    content = parse_object(line)
    note, entries = content.get("checkpoint"), content.get("entries")
    if content.keys() != _HEADER or content["type"] != TYPE:
        raise ProofError(f"not an export: its first line must have type ({TYPE}), checkpoint and entries")
    if not isinstance(note, str) or type(entries) is not int:
        raise ProofError("not an export: checkpoint must be a string, entries a number")
    return note, entries
