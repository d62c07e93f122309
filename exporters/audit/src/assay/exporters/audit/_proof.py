"""Write proofs that the log contains a record or a quarantine entry; `assay.proof` verifies them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Literal

import orjson

from assay.exporters.audit._archive_files import archive_folders, find_archived
from assay.exporters.audit._archives import require_live
from assay.exporters.audit._cosigned import newest_note, published_note
from assay.exporters.audit._entry import without_nul
from assay.exporters.audit._errors import NotFoundError, named
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import Reader, StoredTree, open_read_only
from assay.proof.json_proof import TYPE
from assay.proof.note import Checkpoint
from assay.proof.tlog_proof import TlogProof
from assay.proof.tree import inclusion_proof

Format = Literal["tlog-proof", "json"]
_LEAF = """SELECT leaf_index, leaf FROM audit_log WHERE leaf_index = ?1
           UNION ALL SELECT leaf_index, leaf FROM quarantine WHERE leaf_index = ?1"""
_QUARANTINED = """SELECT min(leaf_index) FROM (
    SELECT leaf_index FROM quarantine WHERE record_id = ?1
    UNION ALL SELECT leaf_index FROM archived WHERE record_id = ?1) AS entries"""


def prove(
    database: Location, entry: str | int, form: Format = "tlog-proof", *, witnessed: bool = False
) -> bytes:
    """Return the proof of an entry against the newest checkpoint, with its cosignatures.

    Args:
        database: The log's database.
        entry: Id of a record, in the log or in quarantine; or the index of a leaf.
        form: Format of the proof.
        witnessed: Prove against the newest checkpoint that had its quorum of cosignatures, if there is one.

    Raises:
        ArchivedError: The entry is archived.
        NotFoundError: The log does not contain the entry, or no checkpoint covers it yet.
        OpenError: The database cannot be read.
    """
    connection = open_read_only(database)
    try:
        connection.begin()
        index, leaf = _find(connection, entry, database)
        note = (published_note if witnessed else newest_note)(connection)
        size = 0 if note is None else Checkpoint.parse(note.rpartition("\n\n")[0] + "\n").size
        if note is None or index >= size:
            raise NotFoundError(f"no checkpoint covers leaf {index} yet: try again in a second")
        path = inclusion_proof(index, size, StoredTree(connection))
    finally:
        connection.close()
    return _encoded(TlogProof(leaf.encode(), index, path, note), form)


def prove_archived(folder: Path, entry: str | int, form: Format = "tlog-proof") -> bytes:
    """Return the proof of an archived entry against the checkpoint of its archive.

    Args:
        folder: Folder of the archive, or of several archives.
        entry: Id of a record, or the index of a leaf.
        form: Format of the proof.

    Raises:
        NotFoundError: The archives do not contain the entry.
        VerificationError: An archive is malformed.
        OpenError: An archive cannot be read.
    """
    for each in archive_folders(folder):
        proof = find_archived(each, entry)
        if proof is not None:
            return _encoded(proof, form)
    raise NotFoundError(f"{folder} does not contain {_name(entry)}")


def _find(connection: Reader, entry: str | int, database: Location) -> tuple[int, str]:
    """Return index and content of a leaf."""
    index = entry if isinstance(entry, int) else connection.leaf_of(entry)
    if index is None and isinstance(entry, str):
        (index,) = connection.execute(_QUARANTINED, (without_nul(entry),)).fetchone()
    found = None if index is None else connection.execute(_LEAF, (index,)).fetchone()
    if found is None and index is not None:
        require_live(connection, index, None if isinstance(entry, int) else entry)
    if found is None:
        raise NotFoundError(f"{database} does not contain {_name(entry)}")
    return found


def _name(entry: str | int) -> str:
    return f"a leaf {entry}" if isinstance(entry, int) else f"a record {named(entry)}"


def _encoded(proof: TlogProof, form: Format) -> bytes:
    return proof.text().encode() if form == "tlog-proof" else _json(proof)


def _json(proof: TlogProof) -> bytes:
    members = {
        "type": TYPE,
        "leafIndex": proof.index,
        "leaf": orjson.Fragment(proof.leaf),  # unchanged, as it was hashed
        "inclusionProof": [base64.b64encode(node).decode() for node in proof.path],
        "checkpoint": proof.checkpoint,
    }
    return orjson.dumps(members, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
