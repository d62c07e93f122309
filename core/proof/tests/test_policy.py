"""Policies of C2SP tlog-policy, and cosignatures of C2SP tlog-cosignature."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assay.proof import (
    Checkpoint,
    KeyFormatError,
    Policy,
    QuorumError,
    SignatureError,
    VerifierKey,
    WitnessKey,
)
from assay.proof.cosignature import cosign, cosignatures
from assay.proof.note import sign
from assay.proof.tree import EMPTY_ROOT

LOG = Ed25519PrivateKey.generate()
SIGNERS = {f"{name}{n}": Ed25519PrivateKey.generate() for name in "XY" for n in (1, 2, 3)}
KEYS = {
    name: WitnessKey(f"{name}.test/w", signer.public_key().public_bytes_raw())
    for name, signer in SIGNERS.items()
}
CHECKPOINT = Checkpoint("audit.test/log", 0, EMPTY_ROOT)
WITNESSES = "".join(f"witness {name} {key}\n" for name, key in KEYS.items())
# The example of the specification: "a quorum defined using two levels of groups".
EXAMPLE = (
    f"log {VerifierKey('audit.test/log', LOG.public_key().public_bytes_raw())}\n\n{WITNESSES}"
    "group X-witnesses 2 X1 X2 X3\n"
    "\t# a comment\n"
    "group  Y-witnesses\tany Y1 Y2 Y3\n"
    "group X-and-Y all X-witnesses Y-witnesses\n"
    "quorum X-and-Y\n"
)


def cosigned(*names):
    lines = (cosign(CHECKPOINT.text(), KEYS[name].name, SIGNERS[name], 1) for name in names)
    return sign(CHECKPOINT, LOG) + "".join(lines)


@pytest.mark.parametrize("names", [("X1", "X3", "Y2"), ("X1", "X2", "X3", "Y1", "Y2", "Y3")])
def test_a_quorum_of_the_specifications_example_is_met(names):
    found = Policy.parse(EXAMPLE).verify(cosigned(*names))
    assert [each.key for each in found] == [KEYS[name] for name in names]
    assert {each.seconds for each in found} == {1}


@pytest.mark.parametrize("names", [(), ("X1", "Y1"), ("X1", "X2", "X3"), ("Y1", "Y2", "Y3")])
def test_a_quorum_of_the_specifications_example_is_not_met(names):
    policy = Policy.parse(EXAMPLE)
    with pytest.raises(QuorumError, match=r"requires 2 of 2 \(2 of 3 \(X1\.test/w, .*1 of 3 \(Y1"):
        policy.verify(cosigned(*names))


def test_one_witness_counts_once():
    policy = Policy.parse(f"{WITNESSES}group two 2 X1 X2\nquorum two\n")
    with pytest.raises(QuorumError):
        policy.verify(cosigned("X1", "X1"))


def test_no_cosignature_may_be_required():
    assert Policy.parse("quorum none").verify(cosigned()) == []


def test_a_single_witness_may_be_the_quorum():
    policy = Policy.parse(f"{WITNESSES}quorum X2\n")
    policy.verify(cosigned("X2"))
    with pytest.raises(QuorumError):
        policy.verify(cosigned("X1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no quorum"),
        (WITNESSES, "no quorum"),
        ("quorum X1\n", "line 1 .*before"),
        (f"{WITNESSES}quorum X1\nquorum X1\n", "one line quorum"),
        (f"{WITNESSES}group g 2 X1\nquorum g\n", "line 7 .*threshold"),
        (f"{WITNESSES}group g 0 X1\nquorum g\n", "threshold"),
        (f"{WITNESSES}group g +1 X1\nquorum g\n", "threshold"),
        (f"{WITNESSES}group g 1\nquorum g\n", "expected group"),
        (f"{WITNESSES}group g any X1\ngroup h any X1\nquorum h\n", "already in a group"),
        (f"{WITNESSES}group g 2 X1 X1\nquorum g\n", "already in a group"),
        (f"{WITNESSES}group X1 any X2\nquorum X1\n", "already in use"),
        (f"{WITNESSES}group none any X2\nquorum none\n", "already in use"),
        (f"{WITNESSES}witness again {KEYS['X1']}\nquorum X1\n", "that of another witness"),
        (f"witness w {VerifierKey('a', bytes(32))}\nquorum w\n", "key of a witness"),
        pytest.param(f"log {KEYS['X1']}\nquorum none\n", "not a verifier key", id="witness as log"),
        ("policy 1\nquorum none\n", "unknown"),
        ("quorum none\r\n", "control characters"),
        ("quorum\u00a0none\n", "unknown"),
    ],
)
def test_a_malformed_policy_is_named(text, message):
    with pytest.raises(KeyFormatError, match=message):
        Policy.parse(text)


def test_a_cosignature_of_another_checkpoint_is_wrong():
    other = Checkpoint("audit.test/log", 1, bytes(32))
    line = cosign(other.text(), KEYS["X1"].name, SIGNERS["X1"], 1)
    with pytest.raises(SignatureError, match="X1"):
        cosignatures(sign(CHECKPOINT, LOG) + line, [KEYS["X1"]])
    assert cosignatures(sign(CHECKPOINT, LOG) + line, [KEYS["X2"]]) == []


def test_the_time_of_a_cosignature_is_signed():
    note = cosigned("X1")
    moved = cosign(CHECKPOINT.text(), KEYS["X1"].name, SIGNERS["X1"], 2)
    assert [each.seconds for each in cosignatures(note, KEYS.values())] == [1]
    first, second = (base64.b64decode(line.rpartition(" ")[2]) for line in (note.splitlines()[-1], moved))
    mixed = base64.b64encode(first[:4] + second[4:12] + first[12:]).decode()
    forged = note.replace(base64.b64encode(first).decode(), mixed)
    with pytest.raises(SignatureError):
        cosignatures(forged, KEYS.values())


@pytest.mark.parametrize("length", [0, 7, 71, 73])
def test_a_cosignature_of_another_length_is_wrong(length):
    line = f"\u2014 {KEYS['X1'].name} {base64.b64encode(KEYS['X1'].id + bytes(length)).decode()}\n"
    with pytest.raises(SignatureError):
        cosignatures(sign(CHECKPOINT, LOG) + line, [KEYS["X1"]])


def test_the_key_of_a_witness_is_printed_and_parsed():
    assert WitnessKey.parse(f"{KEYS['X1']}\n") == KEYS["X1"]
    name, identifier, key = str(KEYS["X1"]).split("+", 2)
    for wrong in ("", "x", f"{name}+00000000+{key}", f"{name}+{identifier}+AAAA"):
        with pytest.raises(KeyFormatError):
            WitnessKey.parse(wrong)
