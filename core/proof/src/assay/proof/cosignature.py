"""Cosignatures of witnesses: https://c2sp.org/tlog-cosignature, the Ed25519 type `cosignature/v1`.

With a cosignature a witness states that, at a time, the checkpoint was the largest consistent one that it had
seen of the log.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from assay.proof.errors import KeyFormatError, SignatureError
from assay.proof.note import check_name, key_id, signature_line, split_key, split_note

_COSIGNATURE_V1 = b"\x04"
_KEY_LENGTH = 32
_ID_LENGTH = 4
_TIME_LENGTH = 8
_SIGNATURE_LENGTH = 64
_LATEST = 2**63 - 1  # tlog-cosignature, "Format"


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The public key of a witness.

    Args:
        name: Name of the witness, such as `witness.example.com/w1`.
        public: 32 bytes, Ed25519.
    """

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """First four bytes of SHA-256 of name, newline, type and key."""
        return key_id(self.name, _COSIGNATURE_V1, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_COSIGNATURE_V1 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> WitnessKey:
        """Parse `name+id+key`.

        Raises:
            KeyFormatError: The text is malformed, or the id does not match the name and the key.
        """
        name, identifier, raw = split_key(text)
        if raw[:1] != _COSIGNATURE_V1 or len(raw) != 1 + _KEY_LENGTH:
            # The message does not show the text: somebody may have passed a signing key.
            raise KeyFormatError(
                "not the verifier key of a witness: it must be name+id+key, of the Ed25519 type 0x04, as the"
                " first line that assay audit witness prints"
            )
        key = cls(check_name(name), raw[1:])
        if identifier != key.id.hex():
            raise KeyFormatError(f"the key of {name!r} has the id {identifier[:8]}, expected {key.id.hex()}")
        return key


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature.

    Args:
        key: The key of the witness.
        seconds: Its POSIX time.
        line: Its signature line.
    """

    key: WitnessKey
    seconds: int
    line: str


def cosign(text: str, name: str, key: Ed25519PrivateKey, seconds: int) -> str:
    """Return the signature line of a witness for a checkpoint.

    Args:
        text: Text of the checkpoint, without signature lines.
        name: Name of the witness.
        key: Key of the witness.
        seconds: POSIX time of the cosignature.
    """
    witness = WitnessKey(name, key.public_key().public_bytes_raw())
    signature = key.sign(_message(text, seconds))
    return signature_line(name, witness.id + seconds.to_bytes(_TIME_LENGTH, "big") + signature)


def cosignatures(note: str, keys: Iterable[WitnessKey]) -> list[Cosignature]:
    """Verify the cosignatures of some witnesses on a checkpoint. Signatures of other keys are ignored.

    Returns:
        One cosignature for each of the keys that cosigned, in the order of the signature lines.

    Raises:
        SignatureError: The note is malformed, or has a wrong cosignature of one of the keys.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    found: dict[WitnessKey, Cosignature] = {}
    for name, signed in signatures:
        key = known.get((name, signed[:_ID_LENGTH]))
        if key is not None and key not in found:
            seconds = _verify(key, text, signed[_ID_LENGTH:])
            found[key] = Cosignature(key, seconds, signature_line(name, signed))
    return list(found.values())


def _verify(key: WitnessKey, text: str, stamped: bytes) -> int:
    """Verify a `timestamped_signature`; return its time."""
    seconds, signature = int.from_bytes(stamped[:_TIME_LENGTH], "big"), stamped[_TIME_LENGTH:]
    wrong = SignatureError(f"the cosignature of the witness {key.name} is wrong")
    if len(signature) != _SIGNATURE_LENGTH or not 0 < seconds <= _LATEST:
        raise wrong
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, _message(text, seconds))
    except InvalidSignature as error:
        raise wrong from error
    return seconds


def _message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
