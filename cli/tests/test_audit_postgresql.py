"""The auditor's commands on a log in PostgreSQL, with libpq's password file."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import closing

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from assay.audit.record import AuditRecord, to_log_record
from assay.cli.audit import command
from assay.exporters.audit import AuditSink, Settings
from assay.host import Batch

pytestmark = pytest.mark.slow


@pytest.fixture
def log(postgresql_server, tmp_path):
    """Return host and name of an empty database, its owner, and the connection string of a superuser."""
    import psycopg

    server = f"host={postgresql_server.folder} port={postgresql_server.port} user=owner"
    name = f"audit_{uuid.uuid4().hex}"
    owner = f"owner_{name}"
    with closing(psycopg.connect(server, dbname="postgres", autocommit=True)) as superuser:
        superuser.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'owners'")
        superuser.execute(f"CREATE DATABASE {name} OWNER {owner}")
    return f"127.0.0.1:{postgresql_server.port}/{name}", owner, f"{server} dbname={name}"


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_an_owner_migrates_a_sink_writes_and_an_auditor_verifies(log, tmp_path, monkeypatch):
    import psycopg

    place, owner, superuser = log
    (tmp_path / "pgpass").write_text(f"*:*:*:{owner}:owners\n*:*:*:{owner}_auditor:auditors\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    migrate = ("migrate", "--db", f"postgresql://{owner}@{place}")
    auditor = ("--db", f"postgresql://{owner}_auditor@{place}")
    assert run("verify", "--db", f"postgresql://{owner}@{place}").exit_code == 2  # no key
    for expected in ("the tables are created", "the tables are up to date"):
        done = run(*migrate)
        assert (done.exit_code, expected in done.output) == (0, True), done.output
    with psycopg.connect(superuser) as connection:
        connection.execute(f"CREATE ROLE {owner}_sink LOGIN PASSWORD 'sinks' IN ROLE assay_audit_writer")
        connection.execute(
            f"CREATE ROLE {owner}_auditor LOGIN PASSWORD 'auditors' IN ROLE assay_audit_reader"
        )
    (tmp_path / "password").write_text("sinks")
    (tmp_path / "password").chmod(0o600)
    settings = {
        "password_file": tmp_path / "password",
        "folder": tmp_path / "sink",
        "origin": "audit.test/log",
    }
    sink = AuditSink(Settings(database=f"postgresql://{owner}_sink@{place}", **settings))
    sink.export(batch("alice"))
    sink.shutdown()
    kept = tmp_path / "sink/checkpoint"
    verify = ("verify", *auditor, "--key", tmp_path / "sink/verifier.key")
    done = run(*verify, "--checkpoint", kept)
    assert done.exit_code == 0, done.output
    assert f"compared with the checkpoint in {kept}" in done.output
    assert "compared with no kept checkpoint" in run(*verify).output
    (found,) = json.loads(run("query", *auditor, "--actor", "alice", "--format", "json").output)
    assert run("prove", *auditor, found["id"], "-o", tmp_path / "proof").exit_code == 0
    key = ("--key", tmp_path / "sink/verifier.key")
    assert run("verify-proof", tmp_path / "proof", *key).exit_code == 0
    with psycopg.connect(superuser) as connection:
        connection.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only")
        connection.execute("UPDATE audit_log SET actor_id = 'mallory'")
    done = run(*verify)
    assert done.exit_code == 1
    assert "actor_id is 'mallory'" in done.output


def test_a_database_that_cannot_be_reached_is_not_verified_and_no_password_is_printed():
    done = run("checkpoint", "--db", "postgresql://auditor@127.0.0.1:1/audit")
    assert done.exit_code == 2
    assert "postgresql://auditor@127.0.0.1:1/audit" in done.output
    done = run("checkpoint", "--db", "postgresql://auditor:secret@127.0.0.1:1/audit")
    assert done.exit_code == 2
    assert "contains a password" in done.output
    assert "secret" not in done.output


def batch(actor):
    record = AuditRecord(
        event_name="order.paid", action="PAY", outcome="success", actor_id=actor, actor_type="user",
        time_unix_nano=1, observed_time_unix_nano=1, record_id=str(uuid.uuid4()),
    )  # fmt: skip
    logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=[to_log_record(record)])])
    request = ExportLogsServiceRequest(resource_logs=[logs])
    return Batch("audit", request, request.SerializeToString(), "protobuf", "direct", time.time_ns())
