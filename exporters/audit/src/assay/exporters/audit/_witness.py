"""A witness of logs: https://c2sp.org/tlog-witness. It cosigns a checkpoint that extends the last one it saw.

The state is the last cosigned checkpoint of each log, in SQLite. It is on disk before the answer is sent.
"""

from __future__ import annotations

import base64
import re
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.exporters.audit._errors import AuditLogError, OpenError, SignatureError, TreeMismatchError
from assay.exporters.audit._keys import load_or_create
from assay.host.private_files import private_database
from assay.proof.cosignature import WitnessKey, cosign
from assay.proof.note import Checkpoint, check_name
from assay.proof.tree import EMPTY_ROOT, verify_consistency
from assay.proof.trusted_keys import TrustedKeys

_OLD = re.compile(r"old (0|[1-9][0-9]{0,19})").fullmatch
_HASHES = 63  # lines of a consistency proof in a request
_HASH_LENGTH = 32
_TABLE = """CREATE TABLE IF NOT EXISTS checkpoints (
    origin TEXT PRIMARY KEY, size TEXT NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL
) STRICT"""  # `size` is text: it may be larger than SQLite's integers
_LAST = "SELECT size, root FROM checkpoints WHERE origin = ?"
_STORE = "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)"


class RefusedError(AuditLogError):
    """The witness does not cosign.

    Args:
        status: HTTP status code of the answer.
        message: Why.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OutdatedError(RefusedError):
    """The proof does not start with the last checkpoint that the witness cosigned.

    Args:
        size: Size of that checkpoint.
    """

    def __init__(self, size: int) -> None:
        super().__init__(409, f"the last cosigned checkpoint has size {size}")
        self.size = size


@dataclass(frozen=True, slots=True)
class _Request:
    """A request to cosign: size of the old checkpoint, consistency proof, text and note of the new one."""

    old: int
    proof: list[bytes]
    text: str
    note: str


class Witness:
    """A witness with its state.

    Args:
        name: Name of the witness, such as `witness.example.com/w1`.
        key: File of its signing key; it is created if it is missing. No log may use the same key.
        state: Its database; it is created if it is missing.
        logs: The keys of each log that it cosigns.

    Raises:
        OpenError: The state or the key cannot be read or written, or two entries are of one log.
        KeyFormatError: The key cannot be read, or the name cannot name a witness.
    """

    def __init__(self, name: str, key: Path, state: Path, logs: Iterable[TrustedKeys]) -> None:
        self._name = check_name(name)
        self._logs: dict[str, TrustedKeys] = {}
        for log in logs:
            if log.name in self._logs:
                raise OpenError(f"the log {log.name!r} is configured twice: put all its keys into one file")
            self._logs[log.name] = log
        if key.exists() != state.exists():
            raise OpenError(
                f"one of {key} and {state} is missing: restore it, or remove the other to start another"
                " witness; without its state a witness would cosign a fork"
            )
        self._mutex = threading.Lock()
        self._key = load_or_create(key)
        try:
            private_database(state)
            self._connection = sqlite3.connect(state, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise OpenError(f"{state}: the state of the witness cannot be opened: {error}") from error

    @property
    def verifier_key(self) -> str:
        """The verifier key of the witness, which its clients trust."""
        return str(WitnessKey(self._name, self._key.public_key().public_bytes_raw()))

    def add_checkpoint(self, body: bytes) -> str:
        """Cosign a checkpoint, as tlog-witness specifies for `add-checkpoint`.

        Args:
            body: Body of the request: old size, consistency proof, checkpoint.

        Returns:
            The signature line of the witness.

        Raises:
            RefusedError: The request is refused, with the status of the answer.
            sqlite3.Error: The state cannot be read or written; nothing was cosigned.
        """
        request = _parse(body)
        checkpoint = self._open(request)
        if request.old > checkpoint.size:
            raise RefusedError(400, f"the old size {request.old} is larger than {checkpoint.size}")
        with self._mutex:
            self._advance(request, checkpoint)
            return cosign(request.text, self._name, self._key, int(time.time()))

    def close(self) -> None:
        """Close the state."""
        with self._mutex:
            self._connection.close()

    def _open(self, request: _Request) -> Checkpoint:
        try:
            origin = Checkpoint.parse(request.text).origin
        except SignatureError as error:
            raise RefusedError(400, str(error)) from error
        if origin not in self._logs:
            raise RefusedError(404, f"the witness does not know the log {origin[:200]!r}")
        try:
            return self._logs[origin].open(request.note)
        except SignatureError as error:
            raise RefusedError(403, str(error)) from error

    def _advance(self, request: _Request, checkpoint: Checkpoint) -> None:
        """Compare a checkpoint with the last one and store it; no other process may store one in between."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            size, root = execute(_LAST, (checkpoint.origin,)).fetchone() or ("0", EMPTY_ROOT)
            _require_consistent(request, int(size), root, checkpoint)
            execute(_STORE, (checkpoint.origin, str(checkpoint.size), checkpoint.root, request.note))
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise


def _parse(body: bytes) -> _Request:
    """Parse a request.

    Raises:
        RefusedError: It is malformed.
    """
    try:
        head, _, note = body.decode().partition("\n\n")
        old, *lines = head.split("\n")
        proof = [base64.b64decode(line, validate=True) for line in lines]
    except ValueError as error:
        raise RefusedError(400, f"not a request to a witness: {error}") from error
    size = _OLD(old)
    if size is None or len(proof) > _HASHES or any(len(node) != _HASH_LENGTH for node in proof):
        raise RefusedError(
            400,
            "a request must have: a line `old <size>`, up to 63 lines of hashes, an empty line, a note",
        )
    return _Request(int(size[1]), proof, note.rpartition("\n\n")[0] + "\n", note)


def _require_consistent(request: _Request, size: int, root: bytes, checkpoint: Checkpoint) -> None:
    """Check that a checkpoint extends the last one, whose size and root are given.

    Raises:
        RefusedError: It does not.
    """
    if size != request.old:
        raise OutdatedError(size)
    if request.old == checkpoint.size and root != checkpoint.root:
        raise RefusedError(422, f"another checkpoint of size {checkpoint.size} is cosigned: the log forked")
    if request.old in {0, checkpoint.size}:  # any tree extends the empty one
        if request.proof:
            raise RefusedError(422, "the consistency proof must be empty for these sizes")
        return
    try:
        verify_consistency(request.old, checkpoint.size, root, checkpoint.root, request.proof)
    except TreeMismatchError as error:
        raise RefusedError(422, str(error)) from error
