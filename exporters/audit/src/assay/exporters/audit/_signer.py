"""The signer of a log's checkpoints. It keeps the last checkpoint that it signed beside each of its keys.

Whoever can write the database but not the key's folder can replace every row and every stored checkpoint.
The signer therefore trusts the checkpoint in the key's folder, and signs only a tree that extends it.

One of the keys must have signed the kept checkpoint. A key is therefore rotated in two steps: the new key
signs beside the previous one, and then without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from assay.exporters.audit._errors import OpenError, SignatureError
from assay.exporters.audit._keys import load_or_create, write_atomically
from assay.proof.note import Checkpoint, VerifierKey, sign
from assay.proof.tree import (
    EMPTY_ROOT,
    Frontier,
    Subtrees,
    consistency_proof,
    frontier,
    verify_consistency,
)
from assay.proof.trusted_keys import TrustedKeys


class Signer:
    """The signing keys of a log, and the last checkpoint that they signed.

    Args:
        keys: Files of the signing keys, the new one first; it is created if it is missing.
        name: Origin of the log. None: a name from `default_name` and the key.
        default_name: Such as the host's name.

    Raises:
        OpenError: A file cannot be read or written, or other users may read it.
        KeyFormatError: The key cannot be read, or the name cannot name a log.
    """

    def __init__(self, keys: Sequence[Path], name: str | None, default_name: str) -> None:
        self._keys = [load_or_create(key) for key in keys]
        public = [key.public_key().public_bytes_raw() for key in self._keys]
        name = name or f"{default_name}/{VerifierKey.fingerprint(public[0])}"
        self.verifiers = TrustedKeys(tuple(VerifierKey.of(name, each) for each in public))
        self._paths = [kept_path(key) for key in keys]
        self.kept = self._load()
        self.last = max(self.kept.values(), key=self._size, default=None)

    @property
    def path(self) -> Path:
        """The file of the last checkpoint, beside the first key."""
        return self._paths[0]

    @property
    def last_checkpoint(self) -> Checkpoint:
        """The last signed checkpoint; that of the empty tree if there is none."""
        if self.last is None:
            return Checkpoint(self.verifiers.name, 0, EMPTY_ROOT)
        return self.verifiers.open(self.last)

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
            note = sign(Checkpoint(self.verifiers.name, tree.size, root), *self._keys)
            self._keep(note)
            return note
        return self.last

    def follow(self, note: str, subtrees: Subtrees) -> None:
        """Keep a checkpoint that another process signed with the same keys, unless it is an older one.

        Args:
            note: The newest checkpoint of the log.
            subtrees: The log's stored nodes.

        Raises:
            TreeMismatchError: The checkpoint does not extend the last one.
            SignatureError: The keys did not sign it.
            OSError: It cannot be kept.
        """
        newest, last = self.verifiers.open(note), self.last_checkpoint
        if self.last is not None and newest.size <= last.size:
            return
        if last.size:
            proof = consistency_proof(last.size, newest.size, subtrees)
            verify_consistency(last.size, newest.size, last.root, newest.root, proof)
        self._keep(note)

    def _keep(self, note: str) -> None:
        for path in self._paths:
            write_atomically(path, note.encode(), 0o600)
        self.last = note

    def _load(self) -> dict[Path, str]:
        """Return the kept checkpoints. After a crash, those of some keys may be older."""
        notes = {path: read_note(path) for path in self._paths if path.exists()}
        for path, note in notes.items():
            self._require_signed(path, note)
        return notes

    def _require_signed(self, path: Path, note: str) -> None:
        try:
            self.verifiers.open(note)
        except SignatureError as error:
            raise OpenError(
                f"{path}: {error}. Restore the last checkpoint of this log, or name the key that signed it"
                " in previous_keys until a checkpoint has both signatures"
            ) from error

    def _size(self, note: str) -> int:
        return self.verifiers.open(note).size


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
    size: int, subtrees: Subtrees, checkpoints: Iterable[tuple[str, str]], keys: TrustedKeys
) -> None:
    """Check that a log of `size` entries extends each checkpoint that can be seen.

    Args:
        size: Number of the log's entries.
        subtrees: Its stored nodes.
        checkpoints: Each with the place where it was found, for the message.
        keys: The log's verifier keys.

    Raises:
        OpenError: A checkpoint is ahead of the log, contradicts it, or is not the log's.
    """
    for place, note in checkpoints:
        try:
            seen = keys.open(note)
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
