"""Signatures of records verify with the public key alone, and only for the unchanged record."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from assay.audit import AuditProvider, AuditRecord, ConfigurationError, SimpleProcessor, canonical_form
from assay.audit.signing import SigningProcessor

LOGIN = AuditRecord(event_name="user.login", action="LOGIN", outcome="success", body={"x": [1, 2.5]})
SECRET = bytes(range(32))
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def verify_es256(signature, message):
    half = len(signature) // 2
    assert half == 32
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    P256.public_key().verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def verify_hmac(signature, message):
    if not hmac.compare_digest(signature, hmac.new(SECRET, message, hashlib.sha256).digest()):
        raise InvalidSignature


CASES = {
    "EdDSA": (ED25519, ED25519.public_key().verify),
    "ES256": (P256, verify_es256),
    "RS256": (RSA, lambda s, m: RSA.public_key().verify(s, m, padding.PKCS1v15(), hashes.SHA256())),
    "HMAC-SHA256": (SECRET, verify_hmac),
}


class Kept:
    def export(self, request):
        self.part = request.resource_logs[0]
        return []

    def shutdown(self):
        pass

    @property
    def record(self):
        return self.part.scope_logs[0].log_records[0]


def texts(pairs):
    return {pair.key: pair.value.string_value for pair in pairs}


def emitted(processor, *, chained=False):
    kept = Kept()
    provider = AuditProvider(SimpleProcessor(kept), {"service.name": "orders"}, processors=[processor])
    receipt = provider.get_logger("tests", chained=chained).emit(LOGIN)
    return kept, receipt


@pytest.mark.parametrize("algorithm", CASES)
def test_a_signature_verifies_for_the_unchanged_record_only(algorithm):
    key, verify = CASES[algorithm]
    kept, receipt = emitted(SigningProcessor(key), chained=True)
    attributes = texts(kept.record.attributes)
    assert attributes["audit.integrity.signer"] == "producer"
    assert attributes["audit.integrity.canonicalization"] == "jcs"
    assert texts(kept.part.resource.attributes)["audit.integrity.algorithm"] == algorithm
    signature = base64.b64decode(attributes["audit.integrity.value"], validate=True)
    verify(signature, canonical_form(kept.record))
    assert receipt.integrity_hash == hashlib.sha256(canonical_form(kept.record)).hexdigest()
    assert b"audit.sequence.number" in canonical_form(kept.record)
    kept.record.event_name = "user.logout"
    with pytest.raises(InvalidSignature):
        verify(signature, canonical_form(kept.record))


def test_the_resource_names_the_key_of_an_asymmetric_algorithm_only():
    kept, _ = emitted(SigningProcessor(ED25519, certificate="orders-2026"))
    assert texts(kept.part.resource.attributes)["audit.integrity.certificate"] == "orders-2026"
    with pytest.raises(ConfigurationError, match="no certificate"):
        SigningProcessor(SECRET, certificate="orders-2026")


@pytest.mark.parametrize(
    "key", [b"short", ec.generate_private_key(ec.SECP384R1()), "text", rsa.generate_private_key(65537, 1024)]
)
def test_a_key_that_is_too_short_or_of_another_type_is_refused(key):
    with pytest.raises(ConfigurationError):
        SigningProcessor(key)
