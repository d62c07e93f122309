"""Proofs as JSON objects, in which a person can read the record.

The members are `type`, `leafIndex`, `leaf` (an object), `inclusionProof` (base64 hashes, RFC 6962 section
2.1.1) and `checkpoint` (the signed note).
"""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import rfc8785

from assay.proof.errors import ProofError, shortened
from assay.proof.tlog_proof import TlogProof

TYPE = "assay.audit.proof/v1"
_ENTRY = {"leafIndex", "leaf", "inclusionProof"}
_MEMBERS = _ENTRY | {"type", "checkpoint"}


def parse_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object, in which no key occurs twice.

    Raises:
        ProofError: It is malformed.
    """
    try:
        content: Any = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProofError(f"not a proof: {error}") from error
    if not isinstance(content, dict):
        raise ProofError("not a proof: it must be a JSON object")
    return cast("dict[str, Any]", content)


def parse_json(proof: bytes) -> TlogProof:
    """Parse a proof.

    Raises:
        ProofError: It is malformed.
    """
    content = parse_object(proof)
    if content.keys() != _MEMBERS:
        raise ProofError(f"not a proof: it must have exactly the members {', '.join(sorted(_MEMBERS))}")
    if content["type"] != TYPE:
        raise ProofError(f"the proof has the type {shortened(content['type'])}, this program supports {TYPE}")
    if not isinstance(content["checkpoint"], str):
        raise ProofError("not a proof: checkpoint must be a string")
    index, leaf, path = _entry(content)
    return TlogProof(leaf, index, path, content["checkpoint"])


def parse_entry(line: bytes) -> tuple[int, bytes, list[bytes]]:
    """Return index, leaf and inclusion proof of an entry of an export.

    Raises:
        ProofError: It is malformed.
    """
    content = parse_object(line)
    if content.keys() != _ENTRY:
        raise ProofError(f"not a proof: it must have exactly the members {', '.join(sorted(_ENTRY))}")
    return _entry(content)


def _entry(content: dict[str, Any]) -> tuple[int, bytes, list[bytes]]:
    index, leaf = content["leafIndex"], content["leaf"]
    if type(index) is not int or not isinstance(leaf, dict):
        raise ProofError("not a proof: leafIndex must be a number, leaf an object")
    try:
        path = [base64.b64decode(node, validate=True) for node in content["inclusionProof"]]
        return index, rfc8785.dumps(_doubles(leaf)), path
    except (ValueError, TypeError, RecursionError) as error:
        raise ProofError(f"not a proof: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Of a repeated key, one reader takes the first value and another the last."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ProofError("not a proof: a JSON object has the same key twice")
    return members


def _no_constant(text: str) -> Any:  # noqa: ANN401  it never returns
    raise ProofError(f"not a proof: {text} is not a JSON value")


def _doubles(value: Any) -> Any:  # noqa: ANN401  a JSON value
    """Return the value with its doubles as floats: a JSON parser reads a double of 1 as an integer."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if members.keys() == {"doubleValue"} and isinstance(members["doubleValue"], int):
            return {"doubleValue": float(members["doubleValue"])}
        return {key: _doubles(member) for key, member in members.items()}
    if isinstance(value, list):
        return [_doubles(item) for item in cast("list[Any]", value)]
    return value
