"""`assay audit witness` as a process: what it cosigned survives SIGKILL."""

from __future__ import annotations

import base64
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from assay.audit.record import AuditRecord, to_log_record
from assay.cli.audit import command
from assay.exporters.audit import AuditSink, Settings
from assay.host import Batch
from assay.proof import Checkpoint, VerifierKey, WitnessKey
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


def test_a_sink_has_its_checkpoints_cosigned_and_the_auditor_requires_the_quorum(tmp_path):
    settings = {"database": tmp_path / "log.db", "origin": ORIGIN}
    AuditSink(Settings(**settings)).shutdown()
    log, policy = ("--db", str(tmp_path / "log.db")), tmp_path / "policy"
    with ExitStack() as witnesses:
        lines = []
        for name in ("w1", "w2"):
            arguments = [
                *("audit", "witness", "--name", f"witness.test/{name}", "--address", "127.0.0.1:0"),
                *("--key", tmp_path / f"{name}.key", "--state", tmp_path / f"{name}.db"),
                *("--log", tmp_path / "verifier.key"),
            ]
            _, key, url = witnesses.enter_context(running(arguments))
            lines.append(f"witness {name} {key} {url.removesuffix('/add-checkpoint')}\n")
        policy.write_text("".join(lines) + "group both all w1 w2\nquorum both\n")
        sink = AuditSink(Settings(**settings, witness_policy=policy))
        sink.export(batch())
        deadline = time.monotonic() + 60
        while not is_cosigned(tmp_path / "log.db"):
            assert time.monotonic() < deadline, "no quorum within a minute"
            time.sleep(0.05)
        sink.shutdown()
    verify = ("verify", *log, "--key", str(tmp_path / "verifier.key"), "--policy", str(policy))
    done = CliRunner().invoke(command, verify)
    assert done.exit_code == 0, done.output
    assert "witness witness.test/w1 (key " in done.output
    assert "2 of 2 (witness.test/w1, witness.test/w2), covers 1 entries" in done.output
    proof = str(tmp_path / "proof")
    assert (
        CliRunner().invoke(command, ["prove", "--leaf", "0", *log, "--cosigned", "-o", proof]).exit_code == 0
    )
    proven = ("verify-proof", proof, "--key", str(tmp_path / "verifier.key"), "--policy", str(policy))
    done = CliRunner().invoke(command, proven)
    assert done.exit_code == 0, done.output
    assert done.output.count("cosigned by witness.test/w") == 2
    policy.write_text(policy.read_text().replace("quorum both", "quorum w3").replace("w2 ", "w3 "))
    done = CliRunner().invoke(command, verify)
    assert (done.exit_code, "line " in done.output) == (2, True)  # the policy is malformed
    other = WitnessKey("witness.test/w3", bytes(32))
    policy.write_text(f"witness w3 {other}\nquorum w3\n")
    for arguments in (verify, proven):
        done = CliRunner().invoke(command, arguments)
        assert (done.exit_code, "the policy requires" in done.output) == (1, True)


def is_cosigned(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT 1 FROM witnessed").fetchone() is not None


def batch():
    now = time.time_ns()
    record = AuditRecord(
        event_name="order.paid",
        action="PAY",
        outcome="success",
        actor_id="alice",
        actor_type="user",
        time_unix_nano=now,
        observed_time_unix_nano=now,
        record_id=str(uuid.uuid4()),
    )
    logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=[to_log_record(record)])])
    request = ExportLogsServiceRequest(resource_logs=[logs])
    return Batch("audit", request, request.SerializeToString(), "protobuf", "direct", now)


@pytest.mark.parametrize(
    ("change", "message"),
    [(("--address", "nowhere"), "expected host:port"), (("--name", "no spaces"), "cannot name")],
)
def test_a_wrong_option_is_named(arguments, change, message):
    done = CliRunner().invoke(command, [str(each) for each in (*arguments[1:], *change)])
    assert done.exit_code == 2
    assert message in done.output
