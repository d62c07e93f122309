"""The sink accepts a signed record only if a trusted key verifies its signature."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import os

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from assay.audit import canonical_form
from assay.audit.collector_form import collector_form
from assay.audit.record import to_pairs
from assay.exporters.audit import KeyFormatError, OpenError, Query, quarantined, query, verify
from assay.host import Rejected

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SECRET = os.urandom(32).hex().encode()
NOW = dt.datetime.now(dt.timezone.utc)


def es256(message):
    r, s = decode_dss_signature(EC.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


SIGNERS = {
    "EdDSA": ED.sign,
    "ES256": es256,
    "RS256": lambda message: RSA.sign(message, PKCS1v15(), SHA256()),
    "HMAC-SHA256": lambda message: hmac.digest(SECRET, message, "sha256"),
}


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ledger")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 4711, NOW, NOW + dt.timedelta(days=1))
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(key, SHA256())


LEDGER = certificate(EC)


@pytest.fixture
def store(tmp_path):
    """Write a trust store with the four keys, each with the given members; return its path."""
    (tmp_path / "ed.pem").write_bytes(pem(ED))
    (tmp_path / "ledger.pem").write_bytes(LEDGER.public_bytes(Encoding.PEM))
    (tmp_path / "rsa.pem").write_bytes(pem(RSA))
    (tmp_path / "till.secret").write_bytes(SECRET + b"\n")

    def write(required=False, **members):
        keys = [
            {"id": "ed", "algorithm": "EdDSA", "public_key": "ed.pem"},
            {"id": "ledger", "algorithm": "ES256", "certificate": "ledger.pem"},
            {"id": "rsa", "algorithm": "RS256", "public_key": "rsa.pem"},
            {"id": "till", "algorithm": "HMAC-SHA256", "secret": "till.secret"},
        ]
        path = tmp_path / "trust.yaml"
        path.write_text(yaml.safe_dump({"required": required, "keys": [{**key, **members} for key in keys]}))
        return path

    return write


def signed(record, algorithm, *, sign=None, form=canonical_form, **attributes):
    sign = sign or SIGNERS[algorithm]
    value = base64.b64encode(sign(form(record))).decode()
    record.attributes.extend(to_pairs({"audit.integrity.value": value, **attributes}))
    return record


def of(batch, algorithm, record, *, certificate=None, peer="direct"):
    found = batch(record, peer=peer)
    names = {"audit.integrity.algorithm": algorithm, "audit.integrity.certificate": certificate}
    present = {key: value for key, value in names.items() if value is not None}
    found.request.resource_logs[0].resource.attributes.extend(to_pairs(present))
    return found


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_signature_is_verified_and_the_result_is_stored(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, store, record, batch, key, algorithm
):
    sink = open_sink(trust=store())
    sink.export(of(batch, algorithm, signed(record(), algorithm)))
    wrong = signed(record(), algorithm)
    wrong.body.string_value = "changed"
    with pytest.raises(Rejected, match="the signature is wrong"):
        sink.export(of(batch, algorithm, wrong))
    sink.export(of(batch, algorithm, wrong, peer="collector"))
    sink.shutdown()
    assert [found["verify_status"] for found in query(database, Query())] == ["passed"]
    assert "the signature is wrong" in next(quarantined(database))["reason"]
    assert verify(database, key()).records == 1


def test_es256_is_accepted_in_der_too(open_sink, store, record, batch):
    one = signed(record(), "ES256", sign=lambda message: EC.sign(message, ec.ECDSA(SHA256())))
    assert open_sink(trust=store()).export(of(batch, "ES256", one)).receipts


@pytest.mark.parametrize(
    "reference",
    [
        None,
        "ledger",
        base64.b64encode(LEDGER.public_bytes(Encoding.DER)).decode(),
        "sha256:" + hashlib.sha256(LEDGER.public_bytes(Encoding.DER)).hexdigest(),
        "sha1:" + hashlib.sha1(LEDGER.public_bytes(Encoding.DER)).hexdigest(),
        x509.SubjectKeyIdentifier.from_public_key(EC.public_key()).digest.hex(),
        "CN=ledger/4711",
    ],
    ids=["none", "key id", "DER", "sha256", "sha1", "subject key id", "subject"],
)
def test_each_form_of_a_certificate_names_the_key(open_sink, store, record, batch, reference):
    sink = open_sink(trust=store())
    assert sink.export(of(batch, "ES256", signed(record(), "ES256"), certificate=reference)).receipts


@pytest.mark.parametrize(
    ("algorithm", "reference", "reason"),
    [
        ("ES256", "stranger", "not in the trust store"),
        ("ES256", base64.b64encode(certificate(ec.generate_private_key(ec.SECP256R1())).public_bytes(
            Encoding.DER)).decode(), "not in the trust store"),
        ("EdDSA", "ledger", "not in the trust store"),
        ("none", None, "must be one of"),
        (None, None, "must be one of"),
    ],
)  # fmt: skip
def test_an_unknown_key_or_algorithm_is_rejected(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, store, record, batch, algorithm, reference, reason
):
    sink = open_sink(trust=store())
    with pytest.raises(Rejected, match=reason):
        sink.export(of(batch, algorithm, signed(record(), "ES256"), certificate=reference))


def test_without_a_trust_store_a_signed_record_is_rejected(open_sink, record, batch):
    with pytest.raises(Rejected, match="not in the trust store"):
        open_sink().export(of(batch, "EdDSA", signed(record(), "EdDSA")))


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_record_that_the_collectors_own_processor_signed_verifies(
    open_sink, store, record, batch, algorithm
):
    sink = open_sink(trust=store())
    one = signed(record(body="looks good"), algorithm, form=collector_form)
    assert sink.export(of(batch, algorithm, one)).receipts
    changed = signed(record(body="looks good"), algorithm, form=collector_form)
    changed.body.string_value = "looks bad"
    with pytest.raises(Rejected, match="signature is wrong"):
        sink.export(of(batch, algorithm, changed))
    named = signed(
        record(body="x"), algorithm, form=collector_form, **{"audit.integrity.canonicalization": "jcs"}
    )
    with pytest.raises(Rejected, match="signature is wrong"):
        sink.export(of(batch, algorithm, named))


@pytest.mark.parametrize("value", ["", "!!!", "c2ln"])
def test_a_malformed_signature_is_rejected(open_sink, store, record, batch, value):
    one = record(attributes={"audit.integrity.value": value})
    for algorithm in SIGNERS:
        with pytest.raises(Rejected, match=r"signature is wrong|base64"):
            open_sink(trust=store(), database=store().with_name(algorithm) / "log.db").export(
                of(batch, algorithm, one)
            )


def test_an_unknown_canonical_form_is_rejected(open_sink, store, record, batch):
    sink = open_sink(trust=store())
    known = {"audit.integrity.canonicalization": "jcs"}
    assert sink.export(of(batch, "EdDSA", signed(record(), "EdDSA", **known))).receipts
    with pytest.raises(Rejected, match="canonical form 'xml'"):
        sink.export(of(batch, "EdDSA", signed(record(), "EdDSA", **{**known, next(iter(known)): "xml"})))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"revoked": NOW - dt.timedelta(hours=1)}, "revoked"),
        ({"not_after": NOW - dt.timedelta(hours=1)}, "valid until"),
        ({"not_before": NOW + dt.timedelta(hours=1)}, "not valid before"),
    ],
)
def test_a_key_is_rotated_and_revoked_without_a_restart(open_sink, store, record, batch, members, reason):  # noqa: PLR0913, PLR0917  fixtures
    sink = open_sink(trust=store())
    sink.export(of(batch, "EdDSA", signed(record(), "EdDSA")))
    store(**members)
    with pytest.raises(Rejected, match=reason):
        sink.export(of(batch, "EdDSA", signed(record(), "EdDSA")))
    later = {
        name: NOW + (dt.timedelta(days=1) if name != "not_before" else -dt.timedelta(days=1))
        for name in members
    }
    store(**later)
    sink.export(of(batch, "EdDSA", signed(record(), "EdDSA")))


def test_a_signature_can_be_required(open_sink, store, record, batch):
    sink = open_sink(trust=store(required=True))
    with pytest.raises(Rejected, match="requires a signature"):
        sink.export(batch(record()))
    sink.export(of(batch, "EdDSA", signed(record(), "EdDSA")))


UNKNOWN_ALGORITHM = "-----BEGIN PUBLIC KEY-----\nMAkwBAYCKgMDAQA=\n-----END PUBLIC KEY-----\n"


def test_a_malformed_trust_store_is_refused_at_start_and_ignored_later(open_sink, store, record, batch):
    path = store()
    sink = open_sink(trust=path)
    for text in ("keys: [", "keys: [{id: a, algorithm: none}]", "keys: [{id: a, algorithm: EdDSA}]",
                 "keys: [{id: a, algorithm: ES256, public_key: ed.pem}]",
                 "keys: [{id: a, algorithm: HMAC-SHA256, secret: short}]",
                 "keys: [{id: a, algorithm: EdDSA, public_key: ed.pem, revoked: 2026-13-01}]",
                 "keys: [{id: a, algorithm: EdDSA, public_key: unknown.pem}]",
                 r'keys: [{id: a, algorithm: EdDSA, public_key: "a\0"}]',
                 "[" * 5000):  # fmt: skip
        path.with_name("short").write_text("short")
        path.with_name("unknown.pem").write_text(UNKNOWN_ALGORITHM)
        path.write_text(text)
        with pytest.raises(KeyFormatError):
            open_sink(trust=path, database=path.with_name("other.db"))
        sink.export(of(batch, "EdDSA", signed(record(), "EdDSA")))
    with pytest.raises(OpenError):
        open_sink(trust=path.with_name("missing.yaml"), database=path.with_name("other.db"))
