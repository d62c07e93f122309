"""Verify signatures of records: EdDSA, ES256 and RS256 (RFC 7518, RFC 8037), HMAC-SHA256 (RFC 2104)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Key: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey | bytes
_COORDINATE = 32  # bytes of each of the two numbers of an ES256 signature
_SHORTEST_RSA = 2048  # bits, RFC 7518 section 3.3
_SHORTEST_SECRET = 32  # bytes, RFC 7518 section 3.2


def _eddsa(key: Key, signature: bytes, message: bytes) -> None:
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidSignature
    key.verify(signature, message)


def _es256(key: Key, signature: bytes, message: bytes) -> None:
    """Verify r and s, 32 bytes each (RFC 7518 section 3.4), or the DER form that X.509 uses."""
    if not isinstance(key, EllipticCurvePublicKey):
        raise InvalidSignature
    if len(signature) == 2 * _COORDINATE:
        r, s = (int.from_bytes(part, "big") for part in (signature[:_COORDINATE], signature[_COORDINATE:]))
        signature = encode_dss_signature(r, s)
    key.verify(signature, message, ECDSA(SHA256()))


def _rs256(key: Key, signature: bytes, message: bytes) -> None:
    if not isinstance(key, RSAPublicKey):
        raise InvalidSignature
    key.verify(signature, message, PKCS1v15(), SHA256())


def _hmac_sha256(key: Key, signature: bytes, message: bytes) -> None:
    if not isinstance(key, bytes) or not hmac.compare_digest(hmac.digest(key, message, "sha256"), signature):
        raise InvalidSignature


ALGORITHMS: Mapping[str, Callable[[Key, bytes, bytes], None]] = {
    "EdDSA": _eddsa,
    "ES256": _es256,
    "RS256": _rs256,
    "HMAC-SHA256": _hmac_sha256,
}
"""Verifiers by the names of `audit.integrity.algorithm`. Each raises `InvalidSignature`."""


def fits(algorithm: str, key: object) -> bool:
    """Return whether a key is of the algorithm's type and long enough."""
    if algorithm == "EdDSA":
        return isinstance(key, Ed25519PublicKey)
    if algorithm == "ES256":
        return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if algorithm == "RS256":
        return isinstance(key, RSAPublicKey) and key.key_size >= _SHORTEST_RSA
    return isinstance(key, bytes) and len(key) >= _SHORTEST_SECRET
