"""Cosignatures of witnesses: https://c2sp.org/tlog-cosignature, the Ed25519 type `cosignature/v1`.

With a cosignature a witness states that, at a time, the checkpoint was the largest consistent one that it had
seen of the log.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assay.proof.note import key_id, signature_line

_COSIGNATURE_V1 = b"\x04"


def cosign(text: str, name: str, key: Ed25519PrivateKey, seconds: int) -> str:
    """Return the signature line of a witness for a checkpoint.

    Args:
        text: Text of the checkpoint, without signature lines.
        name: Name of the witness.
        key: Key of the witness.
        seconds: POSIX time of the cosignature.
    """
    public = key.public_key().public_bytes_raw()
    signature = key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    timestamp = seconds.to_bytes(8, "big")
    return signature_line(name, key_id(name, _COSIGNATURE_V1, public) + timestamp + signature)


def witness_key(name: str, public: bytes) -> str:
    """Return the verifier key of a witness, `name+id+key`, as its clients are configured with.

    Args:
        name: Name of the witness.
        public: 32 bytes, Ed25519.
    """
    encoded = base64.b64encode(_COSIGNATURE_V1 + public).decode()
    return f"{name}+{key_id(name, _COSIGNATURE_V1, public).hex()}+{encoded}"
