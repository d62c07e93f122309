"""The vectors of docs/reference/audit-log.md: the sink writes them, and the verifier on that page reads them.

After a deliberate change of a format, `python exporters/audit/tests/test_vectors.py` writes them anew.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.audit import canonical_form
from assay.audit.record import to_pairs
from assay.exporters.audit import (
    AuditSink,
    Query,
    Settings,
    consistency,
    export_records,
    load_verifier,
    prove,
    quarantined,
    query,
)
from assay.host import Batch
from assay.proof import Policy, VerifierKey, WitnessKey, verify_export
from assay.proof.cosignature import cosign

REPOSITORY = Path(__file__).parents[3]
VECTORS = REPOSITORY / "tests" / "vectors" / "audit-log.json"
PAGE = REPOSITORY / "docs" / "reference" / "audit-log.md"
ORIGIN = "audit.example.com/vectors"
COSIGNED_AT = 1_700_000_000  # POSIX time of the cosignature


def build(seed: str, batches: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Return what the sink makes of the batches: entries, checkpoints, proofs."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    signing = folder / "signing.key"
    signing.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signing.chmod(0o600)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "producer.pem").write_bytes(public)
    trust = folder / "trust.yaml"
    trust.write_text("keys: [{id: producer, algorithm: EdDSA, public_key: producer.pem}]")
    database = folder / "log.db"
    sink = AuditSink(Settings(database=database, origin=ORIGIN, trust=trust, checkpoint_seconds=3600))
    notes = []
    for batch in batches:
        request = ParseDict(batch["request"], ExportLogsServiceRequest())
        for part in request.resource_logs:
            sign(part, key)
        payload = request.SerializeToString(deterministic=True)
        sink.export(Batch("audit", request, payload, "protobuf", "collector", int(batch["sinkTimeUnixNano"])))
        sink._log.checkpoint()
        notes.append((folder / "checkpoint").read_text("utf-8"))
    sink.shutdown()
    verifier = load_verifier(folder / "verifier.key")
    names = ("leaf_index", "id", "integrity_hash", "leaf", "leaf_hash")
    records = [{name: found[name] for name in names} for found in query(database, Query())][::-1]
    exported = folder / "export.jsonl"
    export_records(database, exported)
    witness = WitnessKey("witness.example.com/vectors", key.public_key().public_bytes_raw())
    text = notes[-1].rpartition("\n\n")[0] + "\n"
    leaves = [found["leaf_index"] for found in (*records, *quarantined(database))]
    return {
        "verifier_key": str(verifier),
        "records": records,
        "checkpoints": notes,
        "proofs": [prove(database, leaf).decode() for leaf in sorted(leaves)],
        "consistency": consistency(database, notes[0], notes[-1], verifier),
        "export": exported.read_text("utf-8"),
        "witness_key": str(witness),
        "cosigned": notes[-1] + cosign(text, witness.name, key, COSIGNED_AT),
    }


def sign(part, key):
    """Sign the records of a resource that names a key."""
    if any(pair.key == "audit.integrity.certificate" for pair in part.resource.attributes):
        for record in part.scope_logs[0].log_records:
            value = base64.b64encode(key.sign(canonical_form(record))).decode()
            record.attributes.extend(to_pairs({"audit.integrity.value": value}))


@pytest.fixture(scope="module")
def vectors():
    return json.loads(VECTORS.read_text("utf-8"))


@pytest.fixture(scope="module")
def verify_entry():
    """Return the function that the page defines."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(block.splitlines()) <= 36  # thirty lines of code, and the empty ones between them
    names: dict[str, Any] = {}
    exec(block, names)
    return names["verify"]


def test_the_sink_writes_the_vectors(vectors, tmp_path):
    assert build(vectors["signing_seed"], vectors["batches"], tmp_path) == vectors["log"]


def test_a_verifier_written_from_the_page_verifies_every_proof(vectors, verify_entry):
    log = vectors["log"]
    leaves = [verify_entry(proof, log["verifier_key"]) for proof in log["proofs"]]
    assert [leaf for leaf in leaves if "record" in leaf] == [
        json.loads(each["leaf"]) for each in log["records"]
    ]
    assert sum("quarantine" in leaf for leaf in leaves) == 1
    changes = [("index ", "index 1"), ("extra e", "extra f"), ("\n5\n", "\n6\n"), ("@v1", "@v2")]
    for proof in log["proofs"]:
        for old, new in changes:
            with pytest.raises((ValueError, InvalidSignature)):
                verify_entry(proof.replace(old, new), log["verifier_key"])


def test_the_integrity_hash_is_that_of_the_canonical_form(vectors):
    parts = [part for batch in vectors["batches"] for part in batch["request"]["resourceLogs"]]
    request = ParseDict({"resourceLogs": parts}, ExportLogsServiceRequest())
    canonical = {
        canonical_form(record).decode()
        for part in request.resource_logs
        for record in part.scope_logs[0].log_records
    }
    for each in vectors["log"]["records"]:
        assert sum(text in each["leaf"] for text in canonical) == 1


def test_the_export_and_the_cosigned_checkpoint_verify(vectors):
    log = vectors["log"]
    found = verify_export(log["export"].encode().splitlines(), VerifierKey.parse(log["verifier_key"]))
    assert found.count == len(log["proofs"])
    policy = Policy.parse(f"witness w {log['witness_key']}\nquorum w\n")
    assert [each.seconds for each in policy.verify(log["cosigned"])] == [COSIGNED_AT]


if __name__ == "__main__":
    known = json.loads(VECTORS.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as name:
        known["log"] = build(known["signing_seed"], known["batches"], Path(name))
    VECTORS.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", "utf-8")
