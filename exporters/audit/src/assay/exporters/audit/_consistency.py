"""Consistency proofs between two checkpoints of a log, in the form of a request to a C2SP witness.

https://c2sp.org/tlog-witness, `add-checkpoint`: the line `old <size>`, a line for each hash of the
consistency proof (RFC 6962 section 2.1.2, base64), an empty line, and the newer checkpoint.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from assay.exporters.audit._errors import RollbackError, TreeMismatchError
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import StoredTree, open_read_only, size
from assay.proof.note import VerifierKey
from assay.proof.tree import consistency_proof, verify_consistency
from assay.proof.trusted_keys import TrustedKeys


def consistency(database: Location, old: str, new: str, key: VerifierKey | TrustedKeys) -> str:
    """Return the proof that one checkpoint of a log extends another; the proof is verified.

    Args:
        database: The log's database, which contains the hashes.
        old: The older checkpoint, a signed note.
        new: The newer one.
        key: The log's verifier key, or several; a retired one suffices for the older checkpoint.

    Raises:
        SignatureError: A checkpoint is malformed, or not signed by the key.
        TreeMismatchError: The newer one does not extend the older one, or the log contradicts them.
        RollbackError: The log is shorter than the newer checkpoint.
        OpenError: The database cannot be read.
    """
    keys = TrustedKeys.of(key)
    before, after = keys.open_earlier(old)[0], keys.open(new)
    if before.size > after.size:
        raise TreeMismatchError(f"the first checkpoint covers {before.size} entries, the second {after.size}")
    connection = open_read_only(database)
    try:
        if (entries := size(connection)) < after.size:
            raise RollbackError(f"the log has {entries} entries, the checkpoint covers {after.size}")
        path = consistency_proof(before.size, after.size, StoredTree(connection)) if before.size else []
    finally:
        connection.close()
    if before.size:  # any tree extends the empty one
        verify_consistency(before.size, after.size, before.root, after.root, path)
    return witness_request(before.size, path, new)


def witness_request(old: int, path: Iterable[bytes], note: str) -> str:
    """Return the body of a request to a witness.

    Args:
        old: Size of the older checkpoint.
        path: The consistency proof.
        note: The newer checkpoint.
    """
    hashes = "".join(f"{base64.b64encode(node).decode()}\n" for node in path)
    return f"old {old}\n{hashes}\n{note}"
