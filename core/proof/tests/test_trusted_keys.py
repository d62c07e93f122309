"""A log that is signed by several keys, or by one after another."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assay.proof import Checkpoint, KeyFormatError, SignatureError, TrustedKeys, VerifierKey
from assay.proof.note import sign

NAME = "audit.test/log"
CHECKPOINT = Checkpoint(NAME, 3, bytes(32))
OLD, NEW = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def verifier(key, name=NAME):
    return VerifierKey(name, key.public_key().public_bytes_raw())


BOTH = f"{verifier(OLD)}\n{verifier(NEW)}\n"


@pytest.mark.parametrize("keys", [[OLD], [NEW], [OLD, NEW], [NEW, OLD]])
def test_one_signature_of_a_trusted_key_suffices(keys):
    assert TrustedKeys.parse(BOTH).open(sign(CHECKPOINT, *keys)) == CHECKPOINT


@pytest.mark.parametrize(("keys", "missing"), [([OLD], NEW), ([NEW], OLD)])
def test_each_trusted_key_must_sign_if_each_is_required(keys, missing):
    trusted = TrustedKeys.parse(BOTH, "each")
    assert trusted.open(sign(CHECKPOINT, NEW, OLD)) == CHECKPOINT
    with pytest.raises(SignatureError, match=verifier(missing).id.hex()):
        trusted.open(sign(CHECKPOINT, *keys))


def test_two_signatures_of_one_key_are_not_those_of_two():
    with pytest.raises(SignatureError, match=verifier(NEW).id.hex()):
        TrustedKeys.parse(BOTH, "each").open(sign(CHECKPOINT, OLD, OLD))


def test_a_wrong_signature_is_an_error_although_another_one_is_right():
    signatures = sign(Checkpoint(NAME, 4, bytes(32)), OLD).rpartition("\n\n")[2]
    with pytest.raises(SignatureError, match="wrong"):
        TrustedKeys.parse(BOTH).open(sign(CHECKPOINT, NEW) + signatures)


def test_a_retired_key_verifies_earlier_checkpoints_only():
    trusted = TrustedKeys.parse(f"{verifier(NEW)}\n", retired=f"{verifier(OLD)}\n")
    note = sign(CHECKPOINT, OLD)
    assert trusted.open_earlier(note) == (CHECKPOINT, [verifier(OLD)])
    with pytest.raises(SignatureError, match="was the key replaced"):
        trusted.open(note)


def test_a_key_that_is_not_trusted_signs_nothing():
    trusted = TrustedKeys.parse(BOTH)
    note = sign(CHECKPOINT, Ed25519PrivateKey.generate())
    for read in (trusted.open, trusted.open_earlier):
        with pytest.raises(SignatureError, match="was the key replaced"):
            read(note)


def test_keys_of_another_log_are_refused():
    with pytest.raises(KeyFormatError, match="of several logs"):
        TrustedKeys.parse(f"{verifier(OLD)}\n{verifier(NEW, 'audit.test/other')}\n")
    with pytest.raises(KeyFormatError, match="of several logs"):
        TrustedKeys.parse(str(verifier(OLD)), retired=str(verifier(NEW, "audit.test/other")))
    with pytest.raises(KeyFormatError, match="not a verifier key"):
        TrustedKeys.parse("\n")
