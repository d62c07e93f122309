"""The package verifies the published vectors, and loads neither a database nor a server for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assay.proof import SignatureError, TreeMismatchError, VerificationError, VerifierKey, verify_proof

VECTORS = Path(__file__).parents[3] / "tests" / "vectors" / "audit-log.json"
HEAVY = (
    "sqlite3",
    "starlette",
    "requests",
    "pydantic",
    "opentelemetry",
    "google",
    "assay.audit",
    "assay.host",
)


@pytest.fixture(scope="module")
def log():
    return json.loads(VECTORS.read_text("utf-8"))["log"]


@pytest.fixture(scope="module")
def key(log):
    return VerifierKey.parse(log["verifier_key"])


def test_every_proof_of_the_vectors_verifies(log, key):
    proven = [verify_proof(proof.encode(), key) for proof in log["proofs"]]
    assert [each.index for each in proven] == list(range(5))
    assert [each.record_id for each in proven if not each.is_quarantined] == [
        record["id"] for record in log["records"]
    ]
    assert sum(each.is_quarantined for each in proven) == 1


def test_a_proof_of_one_entry_does_not_prove_another(log, key):
    first, second = log["proofs"][:2]
    extra = [proof.split("\n")[1] for proof in (first, second)]
    with pytest.raises(TreeMismatchError):
        verify_proof(first.replace(*extra).encode(), key)


def test_another_key_verifies_nothing(log, key):
    with pytest.raises(SignatureError):
        verify_proof(log["proofs"][0].encode(), VerifierKey.of(key.name, bytes(32)))


@pytest.mark.parametrize("proof", [b"", b"{}", b"[]", b"\xff", b"c2sp.org/tlog-proof@v1\n", b"{" * 100_000])
def test_anything_else_is_refused(proof, key):
    with pytest.raises(VerificationError):
        verify_proof(proof, key)


def test_neither_a_database_nor_a_server_is_loaded():
    code = f"import sys, assay.proof; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
