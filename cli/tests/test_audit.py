from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from assay.audit.record import AuditRecord, to_log_record
from assay.cli.audit import command
from assay.exporters.audit import AuditSink, Settings
from assay.host import Batch


@pytest.fixture
def log(tmp_path):
    store(tmp_path, "alice", "bea", "\x1b[31mred")
    return tmp_path


def store(folder, *actors, **settings):
    """Start the sink, store a record of each actor (bea's is invalid), and stop the sink."""
    sink = AuditSink(Settings(database=folder / "log.db", origin="audit.test/log", **settings))
    for actor in actors:
        record = AuditRecord(
            event_name="order.paid",
            action="PAY",
            outcome="success" if actor != "bea" else "perhaps",
            actor_id=actor,
            actor_type="user",
            body={"amount": 5},
            time_unix_nano=1,
            observed_time_unix_nano=1,
            record_id=str(uuid.uuid4()),
        )
        request = ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[to_log_record(record)])])]
        )
        payload = request.SerializeToString()
        sink.export(Batch("audit", request, payload, "protobuf", "collector", time.time_ns()))
    sink.shutdown()


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def first_line(done):
    """Return the first line of a result. Old versions of click put the progress into the output."""
    return next(line for line in done.output.splitlines() if line.strip())


@pytest.mark.parametrize(
    "arguments",
    [("query",), ("verify",), ("checkpoint",), ("prove", "--leaf", "0"), ("quarantine",), ("refusals",)],
)
def test_the_log_of_up_in_the_working_directory_is_found(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments).exit_code == 2
    (tmp_path / "assay-data/audit").mkdir(parents=True)
    store(tmp_path / "assay-data/audit", "alice")
    done = run(*arguments)
    assert done.exit_code == 0, done.output


def test_a_key_from_the_log_s_own_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assay-data/audit").mkdir(parents=True)
    store(tmp_path / "assay-data/audit", "alice")
    assert "using the key in assay-data/audit/verifier.key" in run("verify").output


def test_a_log_verifies_and_a_changed_field_is_named(log):
    arguments = ("verify", "--db", log / "log.db", "--key", log / "verifier.key")
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "2 records, 1 in quarantine" in done.output
    first = first_line(done)
    assert (
        f"compared with the checkpoint in {log / 'signing.key.checkpoint'} (beside the database, size 3)"
        in first
    )
    connection = sqlite3.connect(log / "log.db")
    connection.execute("DROP TRIGGER audit_log_no_update")
    (record_id,) = connection.execute("SELECT id FROM audit_log WHERE actor_id = 'alice'").fetchone()
    connection.execute("UPDATE audit_log SET details = '{}' WHERE id = ?", (record_id,))
    connection.commit()
    connection.close()
    done = run(*arguments)
    assert done.exit_code == 1
    assert record_id in done.output


def test_a_rotated_log_verifies_with_the_keys_of_both_times(log, tmp_path):
    before = shutil.copy(log / "verifier.key", tmp_path / "before.key")
    previous = (log / "signing.key").rename(log / "previous.key")
    for settings in ({"previous_keys": (previous,)}, {}):
        store(log, "carol", **settings)
    verify = ("verify", "--db", log / "log.db", "--key")
    done = run(*verify, log / "verifier.key", "--retired-key", before, "--signatures", "each")
    assert done.exit_code == 0, done.output
    assert "signed checkpoints of size 0 to 4\n" in done.output
    assert "signed checkpoints of size 4 to 5\n" in done.output
    for keys in ((before,), (log / "verifier.key",)):
        done = run(*verify, *keys)
        assert done.exit_code == 1
        assert "was the key replaced?" in done.output
    run("prove", "--leaf", "0", "--db", log / "log.db", "-o", tmp_path / "proof")
    assert run("verify-proof", tmp_path / "proof", "--key", log / "verifier.key").exit_code == 0
    assert run("verify-proof", tmp_path / "proof", "--key", before).exit_code == 1


def test_the_keys_of_the_log_and_of_producers_are_listed(log, tmp_path):
    previous = (log / "signing.key").rename(log / "previous.key")
    for settings in ({"previous_keys": (previous,)}, {}):
        store(log, "carol", **settings)
    (tmp_path / "till.secret").write_text("s" * 40)
    (tmp_path / "trust.yaml").write_text(
        "keys:\n"
        "  - {id: till, algorithm: HMAC-SHA256, secret: till.secret}\n"
        "  - {id: old, algorithm: HMAC-SHA256, secret: till.secret, revoked: 2026-01-01T00:00:00Z}\n"
    )
    done = run("keys", "--db", log / "log.db", "--trust", tmp_path / "trust.yaml", "--format", "json")
    keys = json.loads(done.output)
    assert sorted(key["state"] for key in keys if key["use"] == "log") == ["signed before", "signs now"]
    (now,) = [key["key"] for key in keys if key["state"] == "signs now"]
    assert (log / "verifier.key").read_text() == f"{now}\n"
    assert [key["state"] for key in keys[2:]] == ["valid", "key old was revoked at 2026-01-01T00:00:00+00:00"]
    assert "s" * 40 not in done.output
    assert run("keys").exit_code == 2
    assert run("keys", "--trust", tmp_path / "missing.yaml").exit_code == 2


def test_the_number_of_processes_does_not_change_the_output(log):
    arguments = ("verify", "--db", log / "log.db", "--key", log / "verifier.key")
    outputs = [run(*arguments, *jobs) for jobs in ((), ("--jobs", "1"), ("--jobs", "2"))]
    assert [done.exit_code for done in outputs] == [0, 0, 0]
    assert len({done.output for done in outputs}) == 1


def test_exported_files_verify_and_changed_ones_do_not(log, tmp_path):
    tiles, export = tmp_path / "tiles", tmp_path / "export.jsonl"
    key = ("--key", log / "verifier.key")
    assert run("export", "--db", log / "log.db", "--tiles", tiles).exit_code == 0
    assert run("export", "--db", log / "log.db", "--records", export).exit_code == 0
    kept = log / "checkpoint"
    for arguments in (("--tiles", tiles, "--checkpoint", kept), ("--export", export)):
        done = run("verify", *arguments, *key)
        assert done.exit_code == 0, done.output
        assert "2 records, 1 in quarantine" in done.output
    done = run("verify", "--tiles", tiles, "--since", kept, *key)
    assert done.exit_code == 0, done.output
    assert "entries before 3 were not read again" in done.output
    export.write_text(export.read_text().replace("alice", "mallory"))
    (bundle,) = (tiles / "tile" / "entries").rglob("3")
    bundle.write_bytes(bundle.read_bytes().replace(b"alice", b"malic"))
    for arguments in (("--tiles", tiles), ("--export", export)):
        assert run("verify", *arguments, *key).exit_code == 1
    for arguments in (
        ("--tiles", tmp_path / "missing"),
        ("--export", tmp_path / "missing"),
        ("--tiles", tiles, "--export", export),
        ("--export", export, "--since", kept),
        ("--tiles", tiles, "--jobs", "2"),
        ("--db", log / "log.db", "--jobs", "0"),
        ("--export", export, "--checkpoint", kept),
        (),
    ):
        assert run("verify", *arguments, *key).exit_code == 2
    for arguments in ((), ("--tiles", tiles, "--records", export), ("--tiles", tiles, "--since", "1d")):
        assert run("export", "--db", log / "log.db", *arguments).exit_code == 2


def test_a_proof_of_a_record_verifies_and_a_changed_one_does_not(log):
    (found,) = json.loads(run("query", "--db", log / "log.db", "--actor", "alice", "--format", "json").output)
    proof = log / "proof.json"
    form = ("--format", "json", "-o", proof)
    assert run("prove", found["id"], "--db", log / "log.db", *form).exit_code == 0
    done = run("verify-proof", proof, "--key", log / "verifier.key")
    assert (done.exit_code, found["id"] in done.output) == (0, True)
    proof.write_text(proof.read_text().replace("alice", "mallory"))
    done = run("verify-proof", proof, "--key", log / "verifier.key")
    assert (done.exit_code, found["id"] in done.output) == (1, True)


def test_a_quarantine_entry_is_proven_by_its_leaf(log):
    (entry,) = json.loads(run("quarantine", "--db", log / "log.db", "--format", "json").output)
    proof = log / "entry.tlog-proof"
    assert run("prove", "--db", log / "log.db", "--leaf", entry["leaf_index"], "-o", proof).exit_code == 0
    done = run("verify-proof", proof, "--key", log / "verifier.key")
    assert (done.exit_code, "proven: quarantine entry" in done.output) == (0, True)
    for wrong in (("--leaf", 1, entry["record_id"]), ()):
        assert run("prove", "--db", log / "log.db", *wrong).exit_code == 2


def test_tiles_and_a_consistency_proof_are_written(log):
    assert run("export", "--db", log / "log.db", "--tiles", log / "tiles").exit_code == 0
    assert (log / "tiles" / "checkpoint").read_text() == (log / "checkpoint").read_text()
    kept = ("consistency", log / "tiles" / "checkpoint", log / "checkpoint")
    done = run(*kept, "--db", log / "log.db", "--key", log / "verifier.key")
    assert done.exit_code == 0
    assert done.output == "old 3\n\n" + (log / "checkpoint").read_text()


def test_records_are_printed_in_each_format(log):
    lines = run("query", "--db", log / "log.db", "--format", "jsonl").output.splitlines()
    table = list(csv.DictReader(io.StringIO(run("query", "--db", log / "log.db", "--format", "csv").output)))
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in table]
    assert json.loads(table[0]["details"]) == {"amount": 5}
    plain = run("query", "--db", log / "log.db").output
    assert "alice" in plain
    assert "\x1b" not in plain


def test_records_are_printed_as_ocsf_events(log):
    lines = run("query", "--db", log / "log.db", "--format", "ocsf").output.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["actor"]["user"] for event in events] == [
        {"uid": "\x1b[31mred", "type_id": 1},
        {"uid": "alice", "type_id": 1},
    ]
    for event in events:
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"] == 600399
        assert (event["activity_name"], event["status_id"], event["time"]) == ("PAY", 1, 0)
        assert event["metadata"]["version"] == "1.9.0"
        assert event["src_endpoint"] == {"svc_name": "unknown"}


def test_the_members_and_the_records_can_be_chosen(log):
    chosen = ("--fields", "actor_id,outcome,resource", "--format", "json", "--attribute", "audit.action=PAY")
    records = json.loads(run("query", "--db", log / "log.db", *chosen, "--outcome", "success").output)
    assert [record["actor_id"] for record in records] == ["\x1b[31mred", "alice"]
    assert set(records[0]) == {"actor_id", "outcome", "resource"}
    for wrong in (("--fields", "password"), ("--attribute", "novalue"), ("--outcome", "maybe")):
        assert run("query", "--db", log / "log.db", *wrong).exit_code == 2


def test_a_table_on_a_terminal_shows_a_record_unchanged(tmp_path):
    """An auditor must see text in brackets, which rich would read as markup."""
    names = ("actor_id", "action")
    record = {"actor_id": "orders[north] [red]x[/red] [/] :smile:", "action": None}
    leader, follower = pty.openpty()
    code = (
        "import json, sys; from assay.cli._audit_output import print_table; "
        "print_table([json.loads(sys.argv[1])], tuple(sys.argv[2:]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(record), *names],
        stdout=follower,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
        check=True,
    )
    os.close(follower)
    assert record["actor_id"] in os.read(leader, 65536).decode()
    os.close(leader)


def test_the_checkpoint_is_printed_unchanged(log):
    assert run("checkpoint", "--db", log / "log.db").output == (log / "checkpoint").read_text()


def test_quarantine_is_listed_and_a_payload_is_written(log):
    (entry,) = json.loads(run("quarantine", "--db", log / "log.db", "--format", "json").output)
    assert "perhaps" in entry["reason"]
    done = run("quarantine", "--db", log / "log.db", "--payload", entry["leaf_index"])
    part = ResourceLogs.FromString(done.stdout_bytes)
    assert part.scope_logs[0].log_records[0].event_name == "order.paid"


@pytest.mark.parametrize("name", command.commands)
def test_every_command_has_an_example(name):
    assert f"assay audit {name}" in run(name, "--help").output


def test_a_log_that_was_not_compared_is_named_in_the_first_line(log):
    kept = (log / "checkpoint").rename(log / "kept")
    arguments = ("verify", "--db", log / "log.db", "--key", log / "verifier.key")
    assert "signing.key.checkpoint" in first_line(run(*arguments))
    (log / "signing.key.checkpoint").unlink()
    assert "compared with no kept checkpoint" in first_line(run(*arguments))
    done = run(*arguments, "--checkpoint", kept, "--since", kept)
    assert f"compared with the checkpoint in {kept} (kept elsewhere, size 3)" in first_line(done)
    assert "entries before 3 were not read again" in done.output


def test_a_broken_chain_of_a_producer_is_3_and_the_log_is_verified(tmp_path):
    sink = AuditSink(Settings(database=tmp_path / "log.db", origin="audit.test/log"))
    record = AuditRecord(
        event_name="order.paid",
        action="PAY",
        outcome="success",
        actor_id="alice",
        actor_type="user",
        attributes={"audit.sequence.number": 0, "audit.sequence.stream_id": "\x1b[2J"},
        time_unix_nano=1,
        observed_time_unix_nano=1,
        record_id=str(uuid.uuid4()),
    )
    logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=[to_log_record(record)])])
    request = ExportLogsServiceRequest(resource_logs=[logs])
    sink.export(Batch("audit", request, request.SerializeToString(), "protobuf", "direct", time.time_ns()))
    sink.shutdown()
    done = run("verify", "--db", tmp_path / "log.db", "--key", tmp_path / "verifier.key")
    assert done.exit_code == 3
    assert "1 records, 0 in quarantine" in done.stdout
    assert "number 0" in done.stderr
    assert "\x1b" not in done.output


def test_bad_usage_and_a_missing_file_are_2(tmp_path):
    assert run("verify").exit_code == 2
    assert run("query", "--db", tmp_path / "missing.db").exit_code == 2
    assert run("query", "--db", tmp_path / "missing.db", "--limit", "0").exit_code == 2


def test_old_entries_are_archived_and_the_rest_is_verified_with_them(log):
    (record_id,) = (found["id"] for found in records_of(log, "--actor", "alice"))
    archives = log / "archives"
    source = ("--db", log / "log.db")
    keys = ("--key", log / "verifier.key")
    archive = ("archive", *source, *keys, "--before", "0s", "--to", archives)
    done = run(*archive)
    assert done.exit_code == 0, done.output
    assert "0-2: 3 entries, leaves 0 to 2" in done.output
    assert "is left to archive" in run(*archive).output
    store(log, "carol")
    done = run("verify", *source, *keys)
    assert done.exit_code == 0, done.output
    assert "3 entries are archived, in 0-2" in done.output
    assert "only the hashes of these entries were verified" in done.output
    assert "the archives verify" in run("verify", *source, *keys, "--archive", archives).output
    for place in (archives, archives / "0-2"):
        done = run("verify", "--archive", place, *keys)
        assert done.exit_code == 0, done.output
        assert "3 archived entries of 3" in done.output
        assert "2 records, 1 in quarantine" in done.output
    done = run("prove", *source, record_id)
    assert done.exit_code == 2
    assert "is archived, in '0-2'; its leaf hash is" in done.output
    proof = log / "proof"
    assert run("prove", "--archive", archives, record_id, "-o", proof).exit_code == 0
    assert run("verify-proof", proof, *keys).exit_code == 0
    for usage in ((), (*source, "--archive", archives), ("--archive", archives, "--cosigned")):
        assert run("prove", record_id, *usage).exit_code == 2
    assert [found["actor_id"] for found in records_of(log)] == ["carol"]
    query = [sys.executable, "-m", "assay.cli", "audit", "query", *map(str, source)]
    done = subprocess.run(query, capture_output=True, text=True, check=True)
    assert "are archived, in 0-2: not searched" in done.stderr


def test_an_edited_or_missing_archive_is_a_finding(log):
    archives, keys = log / "archives", ("--key", log / "verifier.key")
    assert run("archive", "--db", log / "log.db", *keys, "--before", "0s", "--to", archives).exit_code == 0
    entries = archives / "0-2" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b"alice", b"carol"))
    for arguments in (("--db", log / "log.db", "--archive", archives), ("--archive", archives)):
        done = run("verify", *arguments, *keys)
        assert done.exit_code == 1, done.output
    shutil.rmtree(archives / "0-2")
    done = run("verify", "--db", log / "log.db", "--archive", archives, *keys)
    assert done.exit_code == 1
    assert "is missing" in done.output
    assert run("verify", "--archive", archives, *keys).exit_code == 2  # nothing to verify
    assert run("verify", "--archive", archives, "--tiles", archives, *keys).exit_code == 2


def records_of(log, *options):
    """Return the records that a query prints to standard output."""
    done = run("query", "--db", log / "log.db", "--format", "jsonl", *options)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
