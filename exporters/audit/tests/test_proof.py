from __future__ import annotations

import base64
import hashlib

import orjson
import pytest

from assay.exporters.audit import (
    NotFoundError,
    ProofError,
    Query,
    RollbackError,
    SignatureError,
    TreeMismatchError,
    VerificationError,
    VerifierKey,
    consistency,
    prove,
    quarantined,
    quarantined_payload,
    query,
    verify_proof,
)
from assay.exporters.audit._keys import load_or_create
from assay.proof.note import Checkpoint, sign

from .conftest import rows

pytestmark = pytest.mark.stores("sqlite", "postgresql")


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


@pytest.mark.stores("sqlite")
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
    proof = orjson.loads(prove(log, ids[5], "json"))
    change(proof)
    with pytest.raises(error):
        verify_proof(orjson.dumps(proof), key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("inside", [b'"leaf": {', b'"stringValue":"alice@example.com"', b'"type": '])
def test_a_proof_with_a_key_twice_is_rejected(log, key, ids, inside):
    """A reader that takes the first value would show a record that was never logged."""
    proof = prove(log, ids[5], "json")
    forged = {
        b'"leaf": {': b'"leaf": {"record": {}}, "leaf": {',
        b'"stringValue":"alice@example.com"': b'"stringValue":"eve","stringValue":"alice@example.com"',
        b'"type": ': b'"type": "another", "type": ',
    }
    changed = proof.replace(inside, forged[inside], 1)
    assert changed != proof
    with pytest.raises(ProofError, match="same key twice"):
        verify_proof(changed, key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_a_proof_with_a_number_that_json_lacks_is_rejected(log, key, ids, number):
    proof = prove(log, ids[5], "json").replace(b'{"doubleValue":1}', b'{"doubleValue":%b}' % number)
    with pytest.raises(VerificationError):
        verify_proof(proof, key())


@pytest.mark.stores("sqlite")
def test_a_deeply_nested_proof_is_rejected(log, key, ids):
    proof = prove(log, ids[5], "json")
    deep = proof.replace(b'"record":{', b'"record":{"deep":' + b"[" * 800 + b"]" * 800 + b",")
    assert deep != proof
    # Python 3.13 parses what earlier versions refuse to parse.
    with pytest.raises((ProofError, TreeMismatchError)):
        verify_proof(deep, key())


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("proof", [b"", b"[]", b"null", b"\xff", b"{}"])
def test_a_malformed_proof_is_rejected(proof, log, key):
    with pytest.raises(ProofError):
        verify_proof(proof, key())


@pytest.mark.stores("sqlite")
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


def test_a_tlog_proof_has_the_lines_of_the_specification(log, ids):
    header, extra, index, *rest = prove(log, ids[0]).decode().split("\n")
    assert header == "c2sp.org/tlog-proof@v1"
    leaf = base64.b64decode(extra.removeprefix("extra "))
    assert ids[0] in leaf.decode()
    assert index == "index 39"
    hashes, checkpoint = rest[: rest.index("")], rest[rest.index("") + 1 :]
    assert all(len(base64.b64decode(each)) == 32 for each in hashes)
    assert checkpoint[:2] == ["audit.test/log", "43"]


def test_a_quarantine_entry_can_be_proven(log, key):
    entries = list(quarantined(log))
    for entry in entries:
        proven = verify_proof(prove(log, entry["leaf_index"]), key())
        assert (proven.index, proven.is_quarantined) == (entry["leaf_index"], True)
        payload = quarantined_payload(log, entry["leaf_index"])
        assert proven.leaf["quarantine"]["payloadSha256"] == hashlib.sha256(payload).hexdigest()
    assert verify_proof(prove(log, entries[0]["record_id"]), key()).record_id == entries[0]["record_id"]


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("tlog-proof@v1", "tlog-proof@v2"),
        lambda text: text.replace("index 39", "index 38"),
        lambda text: text.replace("index 39", "index 039"),
        lambda text: text.replace("index 39", f"index {2**64}"),
        lambda text: text.replace("index 39\n", "index 39\nAAAA\n"),
        lambda text: text.replace("index 39\n", "index 39\n" + "A" * 43 + "=\n"),
        lambda text: text.replace("index 39\n", "index 39\n" + ("A" * 43 + "=\n") * 100),
        lambda text: text.replace("\n43\n", "\n42\n"),
        lambda text: text.replace("extra ", "extra A"),
        lambda text: "\n".join(line for line in text.split("\n") if not line.startswith("extra")),
        lambda text: text.replace("extra ", "extra " + base64.b64encode(b"[]").decode() + "\nextra "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.partition("\n\n")[0],
        lambda text: "",
    ],
)
def test_a_changed_tlog_proof_does_not_verify(log, key, ids, change):
    text = prove(log, ids[0]).decode()
    assert verify_proof(text.encode(), key()).record_id == ids[0]
    assert change(text) != text
    with pytest.raises(VerificationError):
        verify_proof(change(text).encode(), key())


@pytest.mark.stores("sqlite")
def test_each_byte_of_a_tlog_proof_counts(log, key, ids):
    proof = prove(log, ids[0])
    signed = proof.index(b"\n\n") + 2
    for place in range(0, signed, 7):
        changed = bytearray(proof)
        changed[place] ^= 1
        with pytest.raises(VerificationError):
            verify_proof(bytes(changed), key())


def test_a_consistency_proof_is_a_request_to_a_witness(log, key):
    notes = dict(rows(log, "SELECT size, note FROM checkpoints"))
    for old, note in notes.items():
        text = consistency(log, note, notes[43], key())
        head, _, checkpoint = text.partition("\n\n")
        assert head.split("\n")[0] == f"old {old}"
        assert checkpoint == notes[43]
    with pytest.raises(TreeMismatchError):
        consistency(log, notes[43], notes[40], key())


def test_a_checkpoint_of_a_fork_is_not_consistent(log, key):
    signing = load_or_create(log.with_name("signing.key"))
    forks = [sign(Checkpoint(key().name, size, bytes(32)), signing) for size in (0, 20, 43, 44)]
    newest = log.with_name("checkpoint").read_text()
    for fork in forks[1:3]:
        with pytest.raises(TreeMismatchError):
            consistency(log, fork, newest, key())
    with pytest.raises(TreeMismatchError):
        consistency(log, newest, forks[2], key())
    with pytest.raises(RollbackError):
        consistency(log, newest, forks[3], key())
