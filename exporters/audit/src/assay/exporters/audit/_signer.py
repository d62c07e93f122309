"""The signer of a log's checkpoints. It keeps the last checkpoint that it signed beside its key.

Whoever can write the database but not the key's folder can replace every row and every stored checkpoint.
The signer therefore trusts the checkpoint in the key's folder, and signs only a tree that extends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from assay.exporters.audit._errors import OpenError, SignatureError
from assay.exporters.audit._keys import load_or_create, write_atomically
from assay.proof.note import Checkpoint, VerifierKey, open_checkpoint, sign
from assay.proof.tree import (
    EMPTY_ROOT,
    Frontier,
    Subtrees,
    consistency_proof,
    frontier,
    verify_consistency,
)


class Signer:
    """The signing key of a log, and the last checkpoint that it signed.

    Args:
        key: File of the signing key; it is created if it is missing.
        name: Origin of the log. None: a name from `default_name` and the key.
        default_name: Such as the host's name.

    Raises:
        OpenError: A file cannot be read or written, or other users may read it.
        KeyFormatError: The key cannot be read, or the name cannot name a log.
        SignatureError: The kept checkpoint is not signed by the key.
    """

    def __init__(self, key: Path, name: str | None, default_name: str) -> None:
        self._key = load_or_create(key)
        public = self._key.public_key().public_bytes_raw()
        self.verifier = VerifierKey.of(name or f"{default_name}/{VerifierKey.fingerprint(public)}", public)
        self.path = kept_path(key)
        self.last = self._load()

    @property
    def last_checkpoint(self) -> Checkpoint:
        """The last signed checkpoint; that of the empty tree if there is none."""
        if self.last is None:
            return Checkpoint(self.verifier.name, 0, EMPTY_ROOT)
        return open_checkpoint(self.last, self.verifier)

    def sign(self, tree: Frontier, subtrees: Subtrees) -> str:
        """Return the signed checkpoint of a tree; it is kept on disk before it is returned.

        A size that is signed already gets the same note again, never a second one.

        Args:
            tree: The tree to sign. Its entries must be on disk.
            subtrees: Its stored nodes.

        Raises:
            TreeMismatchError: The tree does not extend the last signed checkpoint.
            OSError: The checkpoint cannot be kept; nothing was signed.
        """
        last = self.last_checkpoint
        root = tree.root()
        if last.size:
            proof = consistency_proof(last.size, tree.size, subtrees) if last.size <= tree.size else []
            verify_consistency(last.size, tree.size, last.root, root, proof)
        if self.last is None or last.size != tree.size:
            note = sign(Checkpoint(self.verifier.name, tree.size, root), self._key)
            write_atomically(self.path, note.encode(), 0o600)
            self.last = note
        return self.last

    def _load(self) -> str | None:
        if not self.path.exists():
            return None
        note = read_note(self.path)
        try:
            open_checkpoint(note, self.verifier)
        except SignatureError as error:
            raise OpenError(f"{self.path}: {error}. Restore the last checkpoint of this log") from error
        return note


def kept_path(key: Path) -> Path:
    """Return the file in which the signer keeps its last checkpoint: beside the signing key."""
    return key.with_name(f"{key.name}.checkpoint")


def read_note(path: Path) -> str:
    """Return the text of a file.

    Raises:
        OpenError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise OpenError(f"{path}: the checkpoint cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OpenError(f"{path}: the checkpoint is not UTF-8") from error


def require_extends(
    size: int, subtrees: Subtrees, checkpoints: Iterable[tuple[str, str]], key: VerifierKey
) -> None:
    """Check that a log of `size` entries extends each checkpoint that can be seen.

    Args:
        size: Number of the log's entries.
        subtrees: Its stored nodes.
        checkpoints: Each with the place where it was found, for the message.
        key: The log's verifier key.

    Raises:
        OpenError: A checkpoint is ahead of the log, contradicts it, or is not the log's.
    """
    for place, note in checkpoints:
        try:
            seen = open_checkpoint(note, key)
        except SignatureError as error:
            raise OpenError(f"{place}: {error}. Move it away if it belongs to another log") from error
        if seen.size > size:
            raise OpenError(
                f"{place} covers {seen.size} entries, the log has {size}: an older database was restored, or"
                " entries were removed. Restore the newest database, or start another log with another"
                " origin; signing would fork this one"
            )
        if frontier(seen.size, subtrees).root() != seen.root:
            raise OpenError(
                f"the log contradicts {place} (size {seen.size}): entries were changed. Run assay audit"
                f" verify --checkpoint {place}; signing would fork the log"
            )
