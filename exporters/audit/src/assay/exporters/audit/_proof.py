"""Proofs that the log contains a record. The log's public key suffices to verify one.

A proof is a JSON object: `type`, `leafIndex`, `leaf` (the record, its resource, the sink time),
`inclusionProof` (base64 hashes, RFC 6962 section 2.1.1) and `checkpoint` (the signed note).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from assay.audit.canonical import Content, encode
from assay.audit.errors import RecordError
from assay.exporters.audit._errors import NotFoundError, ProofError, VerificationError, named, shortened
from assay.exporters.audit._ids import find
from assay.exporters.audit._note import Checkpoint, VerifierKey, open_checkpoint
from assay.exporters.audit._storage import StoredTree, open_read_only
from assay.exporters.audit._tree import inclusion_proof, leaf_hash, verify_inclusion
from assay.semconv import attributes as keys

TYPE = "assay.audit.proof/v1"
_MEMBERS = {"type", "leafIndex", "leaf", "inclusionProof", "checkpoint"}
_LEAF = "SELECT leaf_index, leaf FROM audit_log WHERE leaf_index = ?"
_CHECKPOINT = "SELECT note FROM checkpoints WHERE size > ? ORDER BY size DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Proven:
    """The result of a verified proof.

    Args:
        record_id: Id of the record.
        leaf: The record, its resource and the sink time, as logged.
        checkpoint: Checkpoint of the log that contains the record.
    """

    record_id: str
    leaf: Content
    checkpoint: Checkpoint


def prove(database: Path, record_id: str) -> bytes:
    """Return the proof of a record against the newest checkpoint, as JSON.

    Raises:
        NotFoundError: The log does not contain the record, or no checkpoint covers it yet.
        OpenError: The database cannot be read.
    """
    connection = open_read_only(database)
    try:
        connection.execute("BEGIN")
        found = connection.execute(_LEAF, (find(connection, record_id),)).fetchone()
        if found is None:
            raise NotFoundError(
                f"{database} does not contain a record {named(record_id)}; it may be in quarantine"
            )
        index, leaf = found
        row = connection.execute(_CHECKPOINT, (index,)).fetchone()
        if row is None:
            raise NotFoundError(f"no checkpoint covers record {named(record_id)} yet: try again in a second")
        size = Checkpoint.parse(row[0].rpartition("\n\n")[0] + "\n").size
        path = inclusion_proof(index, size, StoredTree(connection))
    finally:
        connection.close()
    proof = {
        "type": TYPE,
        "leafIndex": index,
        "leaf": orjson.Fragment(leaf),  # unchanged, as it was hashed
        "inclusionProof": [base64.b64encode(node).decode() for node in path],
        "checkpoint": row[0],
    }
    return orjson.dumps(proof, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def verify_proof(proof: bytes, key: VerifierKey) -> Proven:
    """Verify a proof with the log's public key alone.

    Raises:
        ProofError: The proof is malformed.
        SignatureError: The checkpoint is not signed by the key.
        TreeMismatchError: The record is not in the tree that the checkpoint commits to.
    """
    index, leaf, path, signed = _parse(proof)
    checkpoint = open_checkpoint(signed, key)
    try:
        record_id = str(leaf["record"]["attributes"][keys.AUDIT_RECORD_ID]["stringValue"])
        hashed = leaf_hash(encode(_doubles(leaf)))
    except (KeyError, TypeError, RecordError, RecursionError) as error:
        raise ProofError(
            f"the proof's leaf is not an audit record: {type(error).__name__} {error}"
        ) from error
    try:
        verify_inclusion(hashed, index, checkpoint.size, path, checkpoint.root)
    except VerificationError as error:
        raise type(error)(f"record {named(record_id)}: {error}") from error
    return Proven(record_id, leaf, checkpoint)


def _parse(proof: bytes) -> tuple[int, Content, list[bytes], str]:
    try:
        members: Any = json.loads(proof, object_pairs_hook=_unique, parse_constant=_no_constant)
        if not isinstance(members, dict) or cast("Content", members).keys() != _MEMBERS:
            raise ProofError(f"not a proof: it must have exactly the members {', '.join(sorted(_MEMBERS))}")
        content = cast("Content", members)
        if content["type"] != TYPE:
            raise ProofError(
                f"the proof has the type {shortened(content['type'])}, this program supports {TYPE}"
            )
        index, leaf, signed = content["leafIndex"], content["leaf"], content["checkpoint"]
        path = [base64.b64decode(node, validate=True) for node in content["inclusionProof"]]
    except (ValueError, TypeError, RecursionError) as error:
        raise ProofError(f"not a proof: {error}") from error
    if type(index) is not int or not isinstance(leaf, dict) or not isinstance(signed, str):
        raise ProofError("not a proof: leafIndex must be a number, leaf an object, checkpoint a string")
    return index, cast("Content", leaf), path, signed


def _unique(pairs: list[tuple[str, Any]]) -> Content:
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
