"""Proofs in the format of C2SP: https://c2sp.org/tlog-proof. Other programs read and verify them too.

    c2sp.org/tlog-proof@v1
    extra <the leaf, base64>
    index <leaf index>
    <hash, base64>            one line for each hash of the inclusion proof, RFC 6962 section 2.1.1

    <signed checkpoint>

The extra data is the content of the leaf, so that the proof needs nothing beside it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.proof.errors import ProofError

HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,19})").fullmatch
_HASH_LENGTH = 32
_HASHES = 64  # of a proof in a tree of 2^64 leaves


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof that has been parsed and not verified.

    Args:
        leaf: Content of the leaf.
        index: Index of the leaf.
        path: Hashes of the inclusion proof, from the leaf's sibling up.
        checkpoint: Signed note.
    """

    leaf: bytes
    index: int
    path: Sequence[bytes]
    checkpoint: str

    def text(self) -> str:
        """Return the proof as a file contains it."""
        hashes = "".join(f"{_encode(node)}\n" for node in self.path)
        return f"{HEADER}\nextra {_encode(self.leaf)}\nindex {self.index}\n{hashes}\n{self.checkpoint}"


def parse(proof: str) -> TlogProof:
    """Parse a proof.

    Raises:
        ProofError: It is malformed, or has no extra data.
    """
    head, separator, checkpoint = proof.partition("\n\n")
    header, *lines = head.split("\n")
    if header != HEADER or not separator or len(lines) < 2:  # noqa: PLR2004  extra and index
        raise ProofError(f"not a proof: it must have the lines {HEADER}, extra, index, and a checkpoint")
    extra, number, *hashes = lines
    if not extra.startswith("extra "):
        raise ProofError("the proof has no extra data, which must be the leaf")
    index = _INDEX(number)
    if index is None:
        raise ProofError(f"not a proof: {number[:40]!r} must be index and a decimal number")
    if len(hashes) > _HASHES:
        raise ProofError(f"not a proof: it has {len(hashes)} hashes, {_HASHES} at most are possible")
    path = [_decode(text) for text in hashes]
    if any(len(node) != _HASH_LENGTH for node in path):
        raise ProofError("not a proof: a hash must have 32 bytes")
    return TlogProof(_decode(extra.removeprefix("extra ")), int(index[1]), path, checkpoint)


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofError(f"not a proof: a line is not base64: {error}") from error
    if _encode(value) != text:
        raise ProofError("not a proof: a line has bits beyond its last byte")
    return value
