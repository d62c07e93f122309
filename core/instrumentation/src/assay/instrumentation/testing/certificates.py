"""A certificate authority for tests of TLS on 127.0.0.1."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key.

    Args:
        certificate: PEM file of the certificate.
        key: PEM file of the key, not encrypted.
    """

    certificate: Path
    key: Path


class CertificateAuthority:
    """Issues certificates for 127.0.0.1 into a folder.

    Args:
        folder: Made if it does not exist.

    Attributes:
        certificate: PEM file of its own certificate.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._write("authority", self._key, is_authority=True)

    def issue(self, name: str) -> Certificate:
        """Return a new certificate, for servers and clients.

        Args:
            name: Its common name, and the name of its files.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        path = self._folder / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Certificate(self._write(name, key, is_authority=False), path)

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> Path:
        now = datetime.now(timezone.utc)
        issuer = self._key.public_key()
        usage = {**dict.fromkeys(_USAGES, False), "key_cert_sign": is_authority, "digital_signature": True}
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            # Python 3.13 verifies strictly: RFC 5280 asks for all of these.
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path
