"""`assay audit witness` as a process: what it cosigned survives SIGKILL."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assay.cli.audit import command
from assay.proof import Checkpoint, VerifierKey
from assay.proof.note import sign
from assay.proof.tree import node_hash

ASSAY = Path(sys.executable).with_name("assay")
LOG = Ed25519PrivateKey.generate()
ORIGIN = "audit.test/log"
LEAVES = b"\x01" * 32, b"\x02" * 32  # their hashes
FIRST = f"old 0\n\n{sign(Checkpoint(ORIGIN, 1, LEAVES[0]), LOG)}"
PROOF = base64.b64encode(LEAVES[1]).decode()
SECOND = f"old 1\n{PROOF}\n\n{sign(Checkpoint(ORIGIN, 2, node_hash(*LEAVES)), LOG)}"
FORK = f"old 0\n\n{sign(Checkpoint(ORIGIN, 2, bytes(32)), LOG)}"


@pytest.fixture
def arguments(tmp_path):
    verifier = VerifierKey(ORIGIN, LOG.public_key().public_bytes_raw())
    (tmp_path / "log.key").write_text(f"{verifier}\n")
    return [
        *("audit", "witness", "--name", "witness.test/w1", "--address", "127.0.0.1:0"),
        *("--key", tmp_path / "w1.key", "--state", tmp_path / "w1.db", "--log", tmp_path / "log.key"),
    ]


@contextmanager
def running(arguments):
    """Start the witness; yield the process, its verifier key and its URL. Kill it at the end."""
    with subprocess.Popen([ASSAY, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip(), process.stdout.readline().strip()
        finally:
            process.kill()


def post(url, body):
    """Return status and body of the answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, body.encode(), method="POST"), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_witness_that_was_killed_goes_on_where_it_was(arguments):
    with running(arguments) as (process, key, url):
        status, line = post(url, FIRST)
        assert status == 200
        assert line.startswith("\u2014 witness.test/w1 ")
        process.kill()
    with running(arguments) as (_, same_key, url):
        assert same_key == key
        assert post(url, FIRST) == post(url, FORK) == (409, "1\n")
        assert post(url, SECOND)[0] == 200


def test_a_witness_ends_on_sigterm(arguments):
    with running(arguments) as (process, _, url):
        assert post(url, FIRST)[0] == 200
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [(("--address", "nowhere"), "expected host:port"), (("--name", "no spaces"), "cannot name")],
)
def test_a_wrong_option_is_named(arguments, change, message):
    done = CliRunner().invoke(command, [str(each) for each in (*arguments[1:], *change)])
    assert done.exit_code == 1
    assert message in done.output
