"""The verifier keys that an auditor trusts for one log. A log whose signing key is rotated has several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assay.proof.errors import KeyFormatError, SignatureError
from assay.proof.note import Checkpoint, VerifierKey, signers

Required = Literal["any", "each"]


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys of one log; all have the log's origin as their name.

    Args:
        keys: The keys that sign the log now, at least one.
        required: Whether one of `keys` or each of them must have signed the newest checkpoint, or a proof's.
        retired: Keys that signed the log before. They verify older checkpoints only: somebody who has stolen
            a retired key can sign a new one.
    """

    keys: tuple[VerifierKey, ...]
    required: Required = "any"
    retired: tuple[VerifierKey, ...] = ()

    @classmethod
    def of(cls, key: VerifierKey | TrustedKeys) -> TrustedKeys:
        """Return one key as trusted keys, and trusted keys unchanged."""
        return key if isinstance(key, TrustedKeys) else cls((key,))

    @classmethod
    def parse(cls, keys: str, required: Required = "any", retired: str = "") -> TrustedKeys:
        """Parse verifier keys, one a line.

        Raises:
            KeyFormatError: A line is not a verifier key, there is none, or they have different names.
        """
        current = _parse(keys)
        if not current:
            raise KeyFormatError("not a verifier key: it must be one line, name+id+key (Ed25519)")
        trusted = cls(current, required, _parse(retired))
        if names := {key.name for key in trusted.all} - {trusted.name}:
            raise KeyFormatError(
                f"the verifier keys are of several logs: {trusted.name!r} and {', '.join(map(repr, names))}"
            )
        return trusted

    @property
    def name(self) -> str:
        """The origin of the log."""
        return self.keys[0].name

    @property
    def all(self) -> tuple[VerifierKey, ...]:
        """The current and the retired keys."""
        return self.keys + self.retired

    def open(self, note: str) -> Checkpoint:
        """Verify a checkpoint that one or each of the current keys must have signed, as `required` says.

        Raises:
            SignatureError: It is malformed, a signature is wrong or missing, or it belongs to another log.
        """
        text, signed = signers(note, self.keys)
        missing = [key for key in self.keys if key not in signed]
        if not signed or (self.required == "each" and missing):
            raise self._unsigned(missing)
        return self._checkpoint(text)

    def open_earlier(self, note: str) -> tuple[Checkpoint, list[VerifierKey]]:
        """Verify a checkpoint that one of the keys must have signed; a retired one suffices.

        Returns:
            The checkpoint, and the keys that signed it.

        Raises:
            SignatureError: It is malformed, a signature is wrong or missing, or it belongs to another log.
        """
        text, signed = signers(note, self.all)
        if not signed:
            raise self._unsigned(self.all)
        return self._checkpoint(text), signed

    def _checkpoint(self, text: str) -> Checkpoint:
        checkpoint = Checkpoint.parse(text)
        if checkpoint.origin != self.name:
            raise SignatureError(
                f"the checkpoint is of the log {checkpoint.origin!r}, the key of {self.name!r}"
            )
        return checkpoint

    def _unsigned(self, missing: tuple[VerifierKey, ...] | list[VerifierKey]) -> SignatureError:
        ids = " or ".join(key.id.hex() for key in missing)
        return SignatureError(f"the note is not signed by {self.name} with key {ids}: was the key replaced?")


def _parse(text: str) -> tuple[VerifierKey, ...]:
    return tuple(VerifierKey.parse(line) for line in text.splitlines() if line.strip())
