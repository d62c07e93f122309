"""A witness cosigns the checkpoints that extend its last one, and answers as C2SP tlog-witness specifies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
import time

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from assay.exporters.audit import OpenError, Witness, consistency, load_trusted, witness_app
from assay.exporters.audit._keys import load_or_create
from assay.host import LimitSettings
from assay.host.http_server import listen
from assay.proof import Checkpoint, VerifierKey
from assay.proof.note import sign
from assay.proof.tree import EMPTY_ROOT

from .conftest import ORIGIN, rows

NAME = "witness.test/w1"


@pytest.fixture
def start(log, tmp_path):
    """Start a witness of the log; it has the same state each time."""
    started = []

    def run():
        keys = load_trusted(log.with_name("verifier.key"))
        started.append(Witness(NAME, tmp_path / "witness.key", tmp_path / "witness.db", [keys]))
        return started[-1]

    yield run
    for witness in started:
        witness.close()


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def post(start, loop):
    """Send a request to a witness that starts for it, so that it knows only what it stored."""

    def send(body):
        app = witness_app(start())
        server = listen("witness", "127.0.0.1:0", app, LimitSettings(stop_timeout=1))
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        try:
            url = f"http://127.0.0.1:{server.address[1]}/add-checkpoint"
            answer = requests.post(url, body.encode() if isinstance(body, str) else body, timeout=30)
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        answer.encoding = "utf-8"
        return answer

    return send


@pytest.fixture
def notes(log):
    """The log's checkpoints by size."""
    return dict(rows(log, "SELECT size, note FROM checkpoints"))


@pytest.fixture
def request_of(log, key, notes):
    """Return the request for the step from one size to another."""
    return lambda old, new: consistency(log, notes[old], notes[new], key())


@pytest.fixture
def signed(log):
    """Return a checkpoint that the log's key signs."""
    signing = load_or_create(log.with_name("signing.key"))
    return lambda size, root=bytes(32), origin=ORIGIN: sign(Checkpoint(origin, size, root), signing)


def test_a_cosignature_is_that_of_cosignature_v1(start, post, request_of, notes):
    before = int(time.time())
    answer = post(request_of(0, 20))
    assert answer.status_code == 200
    assert answer.text.endswith("\n")
    dash, name, encoded = answer.text.removesuffix("\n").split(" ")
    assert (dash, name) == ("\u2014", NAME)
    signature = base64.b64decode(encoded)
    verifier_name, key_id, key = start().verifier_key.split("+", 2)
    public = base64.b64decode(key)
    assert (verifier_name, public[0], len(public)) == (NAME, 4, 33)
    assert signature[:4] == hashlib.sha256(NAME.encode() + b"\n" + public).digest()[:4]
    assert signature[:4].hex() == key_id
    seconds = int.from_bytes(signature[4:12], "big")
    assert before <= seconds <= time.time()
    text = notes[20].rpartition("\n\n")[0] + "\n"
    message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[12:], message)


def test_each_step_extends_the_one_before(post, request_of):
    for old, new in ((0, 0), (0, 10), (10, 20), (20, 20), (20, 43)):
        assert post(request_of(old, new)).status_code == 200, (old, new)


@pytest.mark.parametrize("old", [0, 10, 43])
def test_an_outdated_request_is_answered_with_the_size(post, request_of, old):
    post(request_of(0, 20))
    answer = post(request_of(old, 43))
    assert (answer.status_code, answer.text) == (409, "20\n")
    assert answer.headers["content-type"] == "text/x.tlog.size"


def test_an_older_checkpoint_is_not_cosigned_again(post, request_of):
    post(request_of(0, 43))
    assert post(request_of(0, 20)).text == "43\n"
    assert post(request_of(20, 43).replace("old 20", "old 43")).status_code == 422
    assert post(request_of(43, 43)).status_code == 200


def test_a_fork_is_not_cosigned(post, request_of, signed):
    post(request_of(0, 20))
    assert post(f"old 20\n\n{signed(20)}").status_code == 422
    honest = request_of(20, 43)
    proof = honest.partition("\n\n")[0]
    assert post(f"{proof}\n\n{signed(43)}").status_code == 422
    assert post(f"old 20\n\n{signed(43)}").status_code == 422
    assert post(honest).status_code == 200  # a refused request changes nothing


def test_a_first_checkpoint_needs_no_proof_and_has_none(post, signed):
    line = base64.b64encode(bytes(32)).decode()
    assert post(f"old 0\n{line}\n\n{signed(3)}").status_code == 422
    assert post(f"old 0\n\n{signed(0)}").status_code == 422  # another root than that of the empty tree
    assert post(f"old 0\n\n{signed(0, EMPTY_ROOT)}").status_code == 200
    assert post(f"old 0\n\n{signed(2**64 - 1)}").status_code == 200  # larger than SQLite's integers
    assert post(f"old 0\n\n{signed(3)}").text == f"{2**64 - 1}\n"


def test_unknown_logs_and_keys_are_refused(post, notes, signed, tmp_path):
    assert post(f"old 0\n\n{signed(3, origin='audit.test/other')}").status_code == 404
    other = load_or_create(tmp_path / "other.key")
    foreign = sign(Checkpoint(ORIGIN, 43, bytes(32)), other)
    assert post(f"old 0\n\n{foreign}").status_code == 403
    signature = foreign.rpartition("\n\n")[2]
    assert post(f"old 0\n\n{notes[43]}{signature}").status_code == 200  # an unknown key is ignored


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"",
        lambda body: b"\xff" + body,
        lambda body: body.replace(b"old 0", b"old 00"),
        lambda body: body.replace(b"old 0", b"old -1"),
        lambda body: body.replace(b"old 0", b"old 44"),
        lambda body: body.replace(b"old 0\n", b"old 0\n!\n"),
        lambda body: body.replace(b"old 0\n", b"old 0\nAAAA\n"),
        lambda body: body.replace(b"old 0\n", b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64),
        lambda body: body.replace(b"\n\n", b"\n"),
        lambda body: body.replace(b"\n43\n", b"\nmany\n"),
    ],
)
def test_a_malformed_request_is_refused(post, request_of, change):
    assert post(change(request_of(0, 43).encode())).status_code == 400


def test_a_long_request_is_refused(post):
    assert post(bytes(70_000)).status_code == 413


def test_a_witness_without_its_state_does_not_start(start, post, request_of, tmp_path):
    post(request_of(0, 43))
    (tmp_path / "witness.db").unlink()
    with pytest.raises(OpenError, match="would cosign a fork"):
        start()


def test_a_log_is_configured_once(start, log, tmp_path):
    keys = load_trusted(log.with_name("verifier.key"))
    with pytest.raises(OpenError, match="configured twice"):
        Witness(NAME, tmp_path / "w", tmp_path / "w.db", [keys, keys])


def test_one_of_two_trusted_keys_suffices(post, signed, log, tmp_path):
    new = load_or_create(tmp_path / "new.key")
    verifier = VerifierKey(ORIGIN, new.public_key().public_bytes_raw())
    with log.with_name("verifier.key").open("a") as file:
        file.write(f"{verifier}\n")
    assert post(f"old 0\n\n{signed(3)}").status_code == 200
    assert post(f"old 3\n\n{sign(Checkpoint(ORIGIN, 3, bytes(32)), new)}").status_code == 200
