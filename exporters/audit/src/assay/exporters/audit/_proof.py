"""Proofs that the log contains a record or a quarantine entry. The log's public key suffices to verify one.

There are two formats: that of C2SP (`_tlog_proof`), and a JSON object with `type`, `leafIndex`, `leaf` (the
record, its resource, the sink time), `inclusionProof` (base64 hashes, RFC 6962 section 2.1.1) and
`checkpoint` (the signed note).
"""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from assay.audit.canonical import Content, encode
from assay.audit.errors import RecordError
from assay.exporters.audit import _tlog_proof
from assay.exporters.audit._errors import NotFoundError, ProofError, VerificationError, named, shortened
from assay.exporters.audit._ids import find
from assay.exporters.audit._note import Checkpoint, VerifierKey, open_checkpoint
from assay.exporters.audit._storage import StoredTree, open_read_only
from assay.exporters.audit._tlog_proof import TlogProof
from assay.exporters.audit._tree import inclusion_proof, leaf_hash, verify_inclusion
from assay.semconv import attributes as keys

Format = Literal["tlog-proof", "json"]
TYPE = "assay.audit.proof/v1"
_MEMBERS = {"type", "leafIndex", "leaf", "inclusionProof", "checkpoint"}
_LEAF = """SELECT leaf_index, leaf FROM audit_log WHERE leaf_index = ?1
           UNION ALL SELECT leaf_index, leaf FROM quarantine WHERE leaf_index = ?1"""
_QUARANTINED = "SELECT leaf_index FROM quarantine WHERE record_id = ? ORDER BY leaf_index LIMIT 1"
_CHECKPOINT = "SELECT note FROM checkpoints WHERE size > ? ORDER BY size DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Proven:
    """The result of a verified proof.

    Args:
        record_id: Id of the record; of a quarantine entry the id that it claims, or empty.
        leaf: The record, its resource and the sink time, or the quarantine entry, as logged.
        index: Index of the leaf.
        checkpoint: Checkpoint of the log that contains the leaf.
    """

    record_id: str
    leaf: Content
    index: int
    checkpoint: Checkpoint

    @property
    def is_quarantined(self) -> bool:
        """Whether the leaf is a quarantine entry, which proves only that it was received."""
        return "quarantine" in self.leaf


def prove(database: Path, entry: str | int, form: Format = "tlog-proof") -> bytes:
    """Return the proof of an entry against the newest checkpoint.

    Args:
        database: The log's database.
        entry: Id of a record, in the log or in quarantine; or the index of a leaf.
        form: Format of the proof.

    Raises:
        NotFoundError: The log does not contain the entry, or no checkpoint covers it yet.
        OpenError: The database cannot be read.
    """
    connection = open_read_only(database)
    try:
        connection.execute("BEGIN")
        index, leaf = _find(connection, entry, database)
        row = connection.execute(_CHECKPOINT, (index,)).fetchone()
        if row is None:
            raise NotFoundError(f"no checkpoint covers leaf {index} yet: try again in a second")
        size = Checkpoint.parse(row[0].rpartition("\n\n")[0] + "\n").size
        path = inclusion_proof(index, size, StoredTree(connection))
    finally:
        connection.close()
    proof = TlogProof(leaf.encode(), index, path, row[0])
    return proof.text().encode() if form == "tlog-proof" else _json(proof)


def verify_proof(proof: bytes, key: VerifierKey) -> Proven:
    """Verify a proof of either format with the log's public key alone.

    Raises:
        ProofError: The proof is malformed.
        SignatureError: The checkpoint is not signed by the key.
        TreeMismatchError: The entry is not in the tree that the checkpoint commits to.
    """
    parsed = _parse_json(proof) if proof.lstrip()[:1] == b"{" else _parse_tlog_proof(proof)
    checkpoint = open_checkpoint(parsed.checkpoint, key)
    leaf = _object(parsed.leaf)
    record_id = _record_id(leaf)
    try:
        verify_inclusion(leaf_hash(parsed.leaf), parsed.index, checkpoint.size, parsed.path, checkpoint.root)
    except VerificationError as error:
        raise type(error)(f"record {named(record_id)}: {error}") from error
    return Proven(record_id, leaf, parsed.index, checkpoint)


def _find(connection: sqlite3.Connection, entry: str | int, database: Path) -> tuple[int, str]:
    """Return index and content of a leaf."""
    index = entry if isinstance(entry, int) else find(connection, entry)
    if index is None:
        (index,) = connection.execute(_QUARANTINED, (entry,)).fetchone() or (None,)
    found = None if index is None else connection.execute(_LEAF, (index,)).fetchone()
    if found is None:
        name = f"leaf {entry}" if isinstance(entry, int) else f"record {named(entry)}"
        raise NotFoundError(f"{database} does not contain a {name}")
    return found


def _record_id(leaf: Content) -> str:
    """Return the id of the record in a leaf, or the id that a quarantine entry claims."""
    try:
        if "quarantine" in leaf:
            return str(leaf["quarantine"]["recordId"] or "")
        return str(leaf["record"]["attributes"][keys.AUDIT_RECORD_ID]["stringValue"])
    except (KeyError, TypeError) as error:
        raise ProofError(f"the proof's leaf is not an entry of an audit log: {error!r}") from error


def _parse_tlog_proof(proof: bytes) -> TlogProof:
    try:
        return _tlog_proof.parse(proof.decode())
    except UnicodeDecodeError as error:
        raise ProofError(f"not a proof: {error}") from error


def _object(text: bytes) -> Content:
    """Return a JSON object, in which no key occurs twice."""
    try:
        content: Any = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProofError(f"not a proof: {error}") from error
    if not isinstance(content, dict):
        raise ProofError("not a proof: it must be a JSON object")
    return cast("Content", content)


def _json(proof: TlogProof) -> bytes:
    members = {
        "type": TYPE,
        "leafIndex": proof.index,
        "leaf": orjson.Fragment(proof.leaf),  # unchanged, as it was hashed
        "inclusionProof": [base64.b64encode(node).decode() for node in proof.path],
        "checkpoint": proof.checkpoint,
    }
    return orjson.dumps(members, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _parse_json(proof: bytes) -> TlogProof:
    content = _object(proof)
    if content.keys() != _MEMBERS:
        raise ProofError(f"not a proof: it must have exactly the members {', '.join(sorted(_MEMBERS))}")
    if content["type"] != TYPE:
        raise ProofError(f"the proof has the type {shortened(content['type'])}, this program supports {TYPE}")
    index, leaf, signed = content["leafIndex"], content["leaf"], content["checkpoint"]
    if type(index) is not int or not isinstance(leaf, dict) or not isinstance(signed, str):
        raise ProofError("not a proof: leafIndex must be a number, leaf an object, checkpoint a string")
    try:
        path = [base64.b64decode(node, validate=True) for node in content["inclusionProof"]]
        return TlogProof(encode(_doubles(leaf)), index, path, signed)
    except (ValueError, TypeError, RecordError, RecursionError) as error:
        raise ProofError(f"not a proof: {error}") from error


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
