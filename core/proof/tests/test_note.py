from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assay.proof.errors import KeyFormatError, SignatureError
from assay.proof.note import Checkpoint, VerifierKey, open_checkpoint, open_note, sign

# The example of https://c2sp.org/signed-note, which Go's golang.org/x/mod/sumdb/note reads and writes.
KEY = VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""


@pytest.fixture
def signing():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def ours(signing):
    return VerifierKey("audit.test/log", signing.public_key().public_bytes_raw())


def test_the_specifications_note_opens():
    assert open_note(NOTE, KEY) == "This is an example message.\n"


def test_a_printed_verifier_key_parses(ours):
    assert str(KEY) == "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    assert VerifierKey.parse(f"{ours}\n") == ours


def test_the_specifications_checkpoint_parses():
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.parse(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == text
    assert Checkpoint.parse(text + "an extension line\n") == checkpoint


def test_a_note_with_a_control_character_is_refused_although_its_signature_is_right(signing, ours):
    """Go's sumdb/note refuses it too, so no other tool could read what this one accepted."""
    text = f"{ours.name}\n3\n{base64.b64encode(bytes(32)).decode()}\nred \x1b[31m\n"
    signature = base64.b64encode(ours.id + signing.sign(text.encode())).decode()
    with pytest.raises(SignatureError, match="control characters"):
        open_checkpoint(f"{text}\n— {ours.name} {signature}\n", ours)


def test_a_signed_checkpoint_opens_also_with_a_witness_signature(signing, ours):
    checkpoint = Checkpoint(ours.name, 3, bytes(32))
    note = sign(checkpoint, signing)
    assert open_checkpoint(note, ours) == checkpoint
    assert open_checkpoint(note + "— witness.example Uw2QOkn8srV1yJGh\n", ours) == checkpoint


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("\n3\n", "\n4\n"),
        lambda note: note.replace("audit.test/log\n", "audit.test/other\n", 1),
        lambda note: note[:-6] + "AAAA=\n",
        lambda note: note.partition("\n\n")[0] + "\n\n",
        lambda note: note.rstrip("\n"),
        lambda note: note.replace("— ", "-- "),
        lambda note: "",
        lambda note: note.replace("— audit.test/log", "— audit.test/wrong"),
        lambda note: note.replace("\n3\n", "\n3\nan extension\twith a tab\n"),
        lambda note: note.replace("\n3\n", "\n3\n\x1b[2J\n"),
        lambda note: note + "— two words+plus Uw2QOkn8srV1yJGh\n",
        lambda note: note + "— other.example Uw2QOkn8srV1yJGh\n" * 100,
        lambda note: note.replace("\n3\n", "\n3\n\ud800\n"),
    ],
)
def test_a_changed_note_does_not_open(signing, ours, change):
    with pytest.raises(SignatureError):
        open_checkpoint(change(sign(Checkpoint(ours.name, 3, bytes(32)), signing)), ours)


def test_another_key_does_not_open_a_checkpoint(signing, ours):
    other = VerifierKey(ours.name, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    with pytest.raises(SignatureError, match="replaced"):
        open_checkpoint(sign(Checkpoint(ours.name, 3, bytes(32)), signing), other)


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        "a\n01\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "a\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "a\n1\nAAAA\n",
        "a\n1\n!!!\n",
        f"a\n{2**64}\n" + base64.b64encode(bytes(32)).decode() + "\n",
        f"a\n{'9' * 5000}\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "a\n\u0661\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "\n1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "a\n1\n" + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_a_malformed_checkpoint_does_not_parse(text):
    with pytest.raises(SignatureError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b",
        "a+530d903a+AAAA",
        "a+530d903a+é",
        str(KEY).replace("530d903a", "530d903b"),
        str(KEY).removeprefix("example.com/foo"),
    ],
)
def test_a_malformed_verifier_key_does_not_parse(text):
    with pytest.raises(KeyFormatError):
        VerifierKey.parse(text)
