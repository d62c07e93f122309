from __future__ import annotations

import orjson
import pytest

from assay.exporters.audit import (
    NotFoundError,
    ProofError,
    Query,
    SignatureError,
    TreeMismatchError,
    VerificationError,
    VerifierKey,
    prove,
    query,
    verify_proof,
)
from assay.exporters.audit._keys import load_or_create


@pytest.fixture
def ids(log):
    return [found["id"] for found in query(log, Query())]


def test_the_public_key_suffices_to_verify_every_proof(log, key, ids):
    for record_id in ids:
        proven = verify_proof(prove(log, record_id), key())
        assert (proven.record_id, proven.checkpoint.size) == (record_id, 43)


def test_a_record_with_any_double_can_be_proven(open_sink, database, record, batch, key):
    sink = open_sink()
    sink.export(batch(record(body=[1.0, -0.0, 2.0**53 + 2, 1e20, 1e21, 5e-324, float("nan")])))
    sink.shutdown()
    (found,) = query(database, Query())
    verify_proof(prove(database, found["id"]), key())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            lambda p: p["leaf"]["record"]["attributes"]["audit.actor.id"].update(stringValue="eve"),
            TreeMismatchError,
        ),
        (lambda p: p["leaf"]["resource"]["attributes"].clear(), TreeMismatchError),
        (lambda p: p["leaf"].update(sinkTimeUnixNano="1"), TreeMismatchError),
        (lambda p: p.update(leafIndex=p["leafIndex"] ^ 1), TreeMismatchError),
        (lambda p: p.update(leafIndex="1"), ProofError),
        (lambda p: p["inclusionProof"].pop(), TreeMismatchError),
        (lambda p: p["inclusionProof"].append("!"), ProofError),
        (lambda p: p.update(checkpoint=p["checkpoint"].replace("\n43\n", "\n42\n")), SignatureError),
        (lambda p: p.update(type="another"), ProofError),
        (lambda p: p.pop("leaf"), ProofError),
        (lambda p: p.update(extra=1), ProofError),
        (lambda p: p.update(leaf={}), ProofError),
    ],
)
def test_a_changed_proof_does_not_verify(log, key, ids, change, error):
    proof = orjson.loads(prove(log, ids[5]))
    change(proof)
    with pytest.raises(error):
        verify_proof(orjson.dumps(proof), key())


@pytest.mark.parametrize("inside", [b'"leaf": {', b'"stringValue":"alice@example.com"', b'"type": '])
def test_a_proof_with_a_key_twice_is_rejected(log, key, ids, inside):
    """A reader that takes the first value would show a record that was never logged."""
    proof = prove(log, ids[5])
    forged = {
        b'"leaf": {': b'"leaf": {"record": {}}, "leaf": {',
        b'"stringValue":"alice@example.com"': b'"stringValue":"eve","stringValue":"alice@example.com"',
        b'"type": ': b'"type": "another", "type": ',
    }
    changed = proof.replace(inside, forged[inside], 1)
    assert changed != proof
    with pytest.raises(ProofError, match="same key twice"):
        verify_proof(changed, key())


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_a_proof_with_a_number_that_json_lacks_is_rejected(log, key, ids, number):
    proof = prove(log, ids[5]).replace(b'{"doubleValue":1}', b'{"doubleValue":%b}' % number)
    with pytest.raises(VerificationError):
        verify_proof(proof, key())


def test_a_deeply_nested_proof_is_rejected(log, key, ids):
    proof = prove(log, ids[5])
    deep = proof.replace(b'"record":{', b'"record":{"deep":' + b"[" * 800 + b"]" * 800 + b",")
    assert deep != proof
    with pytest.raises(ProofError):
        verify_proof(deep, key())


@pytest.mark.parametrize("proof", [b"", b"[]", b"null", b"\xff", b"{}"])
def test_a_malformed_proof_is_rejected(proof, log, key):
    with pytest.raises(ProofError):
        verify_proof(proof, key())


def test_another_key_does_not_verify_a_proof(log, key, ids, tmp_path):
    other = VerifierKey(key().name, load_or_create(tmp_path / "k").public_key().public_bytes_raw())
    with pytest.raises(SignatureError):
        verify_proof(prove(log, ids[0]), other)


def test_an_unknown_record_cannot_be_proven(log):
    with pytest.raises(NotFoundError):
        prove(log, "00000000-0000-4000-8000-000000000000")


def test_a_record_that_no_checkpoint_covers_cannot_be_proven_yet(open_sink, database, record, batch):
    sink = open_sink(checkpoint_seconds=3600)
    (receipt,) = sink.export(batch(record())).receipts
    with pytest.raises(NotFoundError, match="no checkpoint covers"):
        prove(database, receipt["record_id"])
