"""Signs records, so that a change shows: `audit.integrity.*`. It needs `assay-audit[signing]`.

    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(Path("orders-2026.key").read_bytes(), None)
    signing = SigningProcessor(key, certificate="orders-2026")
    provider = AuditProvider(processor, resource, processors=[signing])

The type of the key determines the algorithm: Ed25519 is EdDSA, P-256 is ES256, RSA is RS256, and bytes are
the secret of HMAC-SHA256. The signature covers the record's canonical form, not its resource.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.canonical import canonical_form
from assay.audit.errors import ConfigurationError
from assay.semconv import attributes as keys

SigningKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | bytes

_SHORTEST_SECRET = 32  # bytes: RFC 7518 section 3.2
_SHORTEST_RSA = 2048  # bits: RFC 7518 section 3.3


class SigningProcessor:
    """Adds a signature to each record.

    Args:
        key: The private key, or the secret of at least 32 bytes.
        certificate: What identifies the key for whoever verifies: a key id, the `fingerprint` of its
            certificate, or another form of the audit data model. Not for a secret.

    Raises:
        ConfigurationError: The key is of another type or too short, or a secret has a certificate.
    """

    def __init__(self, key: SigningKey, *, certificate: str = "") -> None:
        algorithm, self._sign = _signer(key)
        self._resource = {keys.AUDIT_INTEGRITY_ALGORITHM: algorithm}
        if certificate:
            if isinstance(key, bytes):
                raise ConfigurationError("a secret has no certificate: leave certificate out")
            self._resource[keys.AUDIT_INTEGRITY_CERTIFICATE] = certificate

    @property
    def resource_attributes(self) -> Mapping[str, str]:
        """The algorithm, and what identifies the key."""
        return self._resource

    def additions(self, record: LogRecord) -> Mapping[str, str]:
        """Return the signature of a record, its signer and its canonical form's name."""
        return {
            keys.AUDIT_INTEGRITY_VALUE: base64.b64encode(self._sign(canonical_form(record))).decode(),
            keys.AUDIT_INTEGRITY_SIGNER: keys.AUDIT_INTEGRITY_SIGNER_PRODUCER,
            keys.AUDIT_INTEGRITY_CANONICALIZATION: "jcs",
        }


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the form `sha256:<hex>` that identifies a certificate."""
    return f"sha256:{hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()}"


def _signer(key: SigningKey) -> tuple[str, Callable[[bytes], bytes]]:
    """Return the algorithm of a key, and the function that signs with it."""
    if isinstance(key, bytes):
        if len(key) < _SHORTEST_SECRET:
            raise ConfigurationError(
                f"the secret has {len(key)} bytes; it must have {_SHORTEST_SECRET} or more"
            )
        return "HMAC-SHA256", lambda message: hmac.digest(key, message, "sha256")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA", key.sign
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _SHORTEST_RSA:
            raise ConfigurationError(
                f"the RSA key has {key.key_size} bits; it must have {_SHORTEST_RSA} or more"
            )
        return "RS256", lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(getattr(key, "curve", None), ec.SECP256R1):
        return "ES256", lambda message: _es256(key, message)
    raise ConfigurationError(
        f"a {type(key).__name__} cannot sign audit records: use Ed25519, P-256, RSA, or the bytes of a secret"
    )


def _es256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return r and s of 32 bytes each, as RFC 7518 section 3.4 requires."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
