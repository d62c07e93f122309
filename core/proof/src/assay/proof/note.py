"""Signed notes and checkpoints of C2SP: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint.

A checkpoint is a text of three lines (origin, tree size, root hash), an empty line, and one line for each
signature. Third-party tools can read it, and third-party witnesses can cosign it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from assay.proof.errors import KeyFormatError, SignatureError

_ED25519 = b"\x01"
_SIGNATURE = "\u2014 "  # a signature line starts with an em dash and a space
_KEY_LENGTH = 32
_ID_LENGTH = 4
_HASH_LENGTH = 32
_LINES = 3
_SIGNATURES = 100  # of one note, as in Go's sumdb/note
_LARGEST_SIZE = 2**64 - 1  # leaves, as in transparency-dev's formats/log
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # C2SP signed-note allows no control character but newline
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}").fullmatch


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and its name. A log's verifier key is named after the log's origin.

    Args:
        name: Such as `audit.example.com/log`.
        public: 32 bytes, Ed25519.
    """

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """First four bytes of SHA-256 of name, newline, type and key."""
        return key_id(self.name, _ED25519, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(_ED25519 + self.public)}"

    @classmethod
    def of(cls, name: str, public: bytes) -> VerifierKey:
        """Return the key of a name.

        Raises:
            KeyFormatError: The text cannot name a key.
        """
        return cls(check_name(name), public)

    @staticmethod
    def fingerprint(public: bytes) -> str:
        """Return the first 64 bits of the key's SHA-256, hexadecimal."""
        return hashlib.sha256(public).hexdigest()[:16]

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Parse `name+id+key`.

        Raises:
            KeyFormatError: The text is malformed, or the id does not match the name and the key.
        """
        name, identifier, raw = split_key(text)
        if raw[:1] != _ED25519 or len(raw) != 1 + _KEY_LENGTH:
            # The message does not show the text: somebody may have passed the signing key.
            raise KeyFormatError(
                "not a verifier key: it must be one line, name+id+key (Ed25519), as in the log's verifier.key"
            )
        key = cls(check_name(name), raw[1:])
        if identifier != key.id.hex():
            raise KeyFormatError(
                f"the verifier key of {name!r} has the id {identifier}, expected {key.id.hex()}"
            )
        return key


def split_key(text: str) -> tuple[str, str, bytes]:
    """Return the name, the id, and the type with the key of `name+id+key`; without a key, no bytes."""
    name, _, rest = text.strip().partition("+")
    identifier, _, encoded = rest.partition("+")
    try:
        return name, identifier, base64.b64decode(encoded, validate=True)
    except ValueError:
        return name, identifier, b""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's commitment: its tree of `size` leaves has the root hash `root`.

    Args:
        origin: Name of the log.
        size: Number of leaves.
        root: Root hash, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Parse the text of a note. Lines after the third are extensions and are ignored.

        Raises:
            SignatureError: The text is not a checkpoint.
        """
        lines = text.split("\n")
        if len(lines) <= _LINES or lines[-1] or not all(lines[:-1]):
            raise SignatureError("not a checkpoint: it must have the lines origin, size and root hash")
        origin, size, root = lines[:_LINES]
        if not _DECIMAL(size) or int(size) > _LARGEST_SIZE:
            raise SignatureError(
                f"not a checkpoint: the tree size {size[:40]!r} must be a decimal number below 2^64"
            )
        try:
            raw = base64.b64decode(root, validate=True)
        except (binascii.Error, ValueError) as error:
            raise SignatureError(f"not a checkpoint: the root hash must be base64: {error}") from error
        if len(raw) != _HASH_LENGTH or _base64(raw) != root:
            raise SignatureError("not a checkpoint: the root hash must be 32 bytes in base64")
        return cls(origin, int(size), raw)


def sign(checkpoint: Checkpoint, *keys: Ed25519PrivateKey) -> str:
    """Return a checkpoint as a note that each of the keys has signed."""
    text = checkpoint.text()
    return f"{text}\n" + "".join(_signature_line(text, checkpoint.origin, key) for key in keys)


def signers(note: str, keys: Iterable[VerifierKey]) -> tuple[str, list[VerifierKey]]:
    """Verify the signatures of some keys on a note. Those of other keys, such as witnesses', are ignored.

    Returns:
        The text, and those of the keys that signed it.

    Raises:
        SignatureError: The note is malformed, or has a wrong signature of one of the keys.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    signed: dict[VerifierKey, None] = {}
    for name, signature in signatures:
        key = known.get((name, signature[:_ID_LENGTH]))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[_ID_LENGTH:], text.encode())
        except InvalidSignature as error:
            raise SignatureError(f"the signature of {key.name} on the note is wrong") from error
        signed[key] = None
    return text, list(signed)


def open_note(note: str, key: VerifierKey) -> str:
    """Verify the key's signature on a note. Signatures of other keys, such as witnesses', are ignored.

    Returns:
        The signed text.

    Raises:
        SignatureError: The note is malformed, lacks a signature of the key, or has a wrong one.
    """
    text, signed = signers(note, [key])
    if not signed:
        raise SignatureError(
            f"the note is not signed by {key.name} with key {key.id.hex()}: was the key replaced?"
        )
    return text


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Verify a signed checkpoint, and that its origin is the key's name.

    Raises:
        SignatureError: The note is malformed, its signature is wrong, or it belongs to another log.
    """
    checkpoint = Checkpoint.parse(open_note(note, key))
    if checkpoint.origin != key.name:
        raise SignatureError(f"the checkpoint is of the log {checkpoint.origin!r}, the key of {key.name!r}")
    return checkpoint


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Return the id of a key: the first four bytes of SHA-256 of name, newline, type and key."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:_ID_LENGTH]


def signature_line(name: str, signed: bytes) -> str:
    """Return a signature line.

    Args:
        name: Name of the key.
        signed: Id of the key, and the signature.
    """
    return f"{_SIGNATURE}{name} {_base64(signed)}\n"


def check_name(name: str) -> str:
    """Return the name if it can name a key: not empty, no space, no plus.

    Raises:
        KeyFormatError: It cannot.
    """
    if not _is_name(name) or not name.isprintable():
        raise KeyFormatError(
            f"{name!r} cannot name a log: use a name without spaces and plus signs, such as"
            " audit.example.com/log"
        )
    return name


def _is_name(name: str) -> bool:
    """Return whether the signed-note specification allows the name of a key."""
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Split a note into its text and its signatures, without a verification.

    Returns:
        The text, and for each signature line the name of the key, and the key's id followed by the signature.

    Raises:
        SignatureError: The note is malformed.
    """
    text, separator, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not separator or lines.pop() or not 0 < len(lines) <= _SIGNATURES:
        raise SignatureError(
            "not a signed note: it must be a text, an empty line, and one line for each signature"
        )
    if _CONTROL.search(note) or any("\ud800" <= char <= "\udfff" for char in note):
        raise SignatureError("not a signed note: it must be UTF-8 without control characters")
    return text + "\n", [_signature(line) for line in lines]


def _signature_line(text: str, name: str, key: Ed25519PrivateKey) -> str:
    verifier = VerifierKey(name, key.public_key().public_bytes_raw())
    return signature_line(name, verifier.id + key.sign(text.encode()))


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"the signature in a signature line must be base64: {error}") from error
    if not line.startswith(_SIGNATURE) or not _is_name(name) or len(signature) <= _ID_LENGTH:
        raise SignatureError("a signature line must be: em dash, name, signature")
    return name, signature


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
