"""Nothing of a record steers a terminal, imitates a line of ours, or is a formula."""

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
from pathlib import Path

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from assay.audit.record import AuditRecord, to_log_record
from assay.cli.audit import command
from assay.exporters.audit import AuditSink, Settings
from assay.host import Batch

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\u202e\u2066\u200b\u2028\rverified: audit.test/log"
FORMULAS = (
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    " =1+1",
    "\N{FULLWIDTH EQUALS SIGN}1+1",
)
FORMATS = ("table", "json", "jsonl", "csv")


def record(**changed) -> AuditRecord:
    fields = {
        "event_name": "order.paid",
        "action": "PAY",
        "outcome": "success",
        "actor_id": "alice",
        "actor_type": "user",
        "time_unix_nano": 1,
        "observed_time_unix_nano": 1,
        "record_id": str(uuid.uuid4()),
    }
    return AuditRecord(**fields | changed)


def store(folder: Path, *records: AuditRecord) -> None:
    sink = AuditSink(Settings(database=folder / "log.db", origin="audit.test/log"))
    for one in records:
        request = ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[to_log_record(one)])])]
        )
        sink.export(
            Batch("audit", request, request.SerializeToString(), "protobuf", "collector", time.time_ns())
        )
    sink.shutdown()


@pytest.fixture
def log(tmp_path) -> Path:
    hostile = record(event_name=f"e{HOSTILE}", actor_id=HOSTILE, body={f"k{HOSTILE}": [HOSTILE]})
    store(
        tmp_path,
        hostile,
        record(outcome=f"perhaps{HOSTILE}", record_id="8" + HOSTILE),
        *(record(actor_id=one) for one in FORMULAS),
    )
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def steering(text: str) -> set[str]:
    return {char for char in text if not char.isprintable() and char not in "\n\t"}


@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, form) for name in ("query", "quarantine") for form in FORMATS), ("query", "ocsf")],
)
def test_no_format_steers_a_terminal(log, name, form):
    done = run(name, "--db", log / "log.db", "--format", form)
    assert done.exit_code == 0, done.output
    text = done.output.replace("\r\n", "\n")
    assert "pwned" in text
    assert steering(text) == set()
    assert not any(line.startswith("verified") for line in text.splitlines())


def test_json_keeps_the_values(log):
    for form in ("json", "jsonl"):
        text = run("query", "--db", log / "log.db", "--format", form).output
        records = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
        assert HOSTILE in {one["actor_id"] for one in records}
        assert {f"k{HOSTILE}": [HOSTILE]} in [one["details"] for one in records]


def test_a_cell_is_never_a_formula(log):
    rows = list(csv.DictReader(io.StringIO(run("query", "--db", log / "log.db", "--format", "csv").output)))
    actors = {row["actor_id"] for row in rows}
    assert {f"'{one}" for one in FORMULAS if one.isprintable()} <= actors
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.lstrip().startswith(tuple("=+-@\N{FULLWIDTH EQUALS SIGN}"))]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET id = :hostile || id WHERE leaf_index = 3",
        "UPDATE audit_log SET actor_id = :hostile WHERE leaf_index = 3",
        "UPDATE audit_log SET leaf_index = 900 WHERE leaf_index = 0",
        "UPDATE quarantine SET record_id = :hostile",
        "UPDATE meta SET value = :hostile WHERE name = 'origin'",
        "UPDATE audit_log SET id = 'verified: audit.test/log', leaf_hash = x'00' WHERE leaf_index = 3",
    ],
)
def test_a_tampered_value_cannot_print_that_the_log_verifies(log, statement):
    connection = sqlite3.connect(log / "log.db")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(
        statement, {"hostile": f"\nverified: audit.test/log\n{HOSTILE}"} if ":hostile" in statement else {}
    )
    connection.commit()
    connection.close()
    done = run("verify", "--db", log / "log.db", "--key", log / "verifier.key")
    assert done.exit_code == 1
    assert steering(done.output) == set()
    # The bar of progress of some versions of Click ends with an empty line.
    output = done.output.lstrip()
    assert len(output.splitlines()) == 1
    assert "record verified" not in output
    assert output.startswith("Error: ")


def test_a_proof_of_a_hostile_record_prints_nothing_of_it(log):
    records = json.loads(run("query", "--db", log / "log.db", "--format", "json").output)
    (hostile,) = [one["id"] for one in records if one["actor_id"] == HOSTILE]
    done = run("prove", hostile, "--db", log / "log.db", "--format", "json")
    assert "pwned" in done.output
    assert steering(done.output) == set()
    proof = log / "proof.json"
    proof.write_text(done.output)
    done = run("verify-proof", proof, "--key", log / "verifier.key")
    assert done.exit_code == 0, done.output
    for forged in (f"{HOSTILE}\nproven: record {hostile}", "verified: audit.test/log"):
        proof.write_text(proof.read_text().replace(json.dumps(hostile), json.dumps(forged)))
        done = run("verify-proof", proof, "--key", log / "verifier.key")
        assert done.exit_code == 1
        assert (steering(done.output), len(done.output.splitlines())) == (set(), 1)
        assert done.output.startswith("Error: record '")
        proof.write_text(proof.read_text().replace(json.dumps(forged), json.dumps(hostile)))


def test_a_terminal_shows_no_control_characters_of_a_record(log):
    leader, follower = pty.openpty()
    assay = Path(sys.executable).with_name("assay")
    subprocess.run(
        [assay, "audit", "query", "--db", log / "log.db"],
        stdout=follower,
        env={**os.environ, "COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1"},
        check=True,
        timeout=60,
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode().replace("\r\n", "\n")
    os.close(leader)
    assert "pwned" in shown
    assert steering(shown) == set()


def test_ids_are_complete_on_a_terminal_of_80_columns(tmp_path):
    target = str(uuid.uuid4())
    store(tmp_path, record(target_id=target, target_type="order", actor_id="alice@example.com"))
    leader, follower = pty.openpty()
    assay = Path(sys.executable).with_name("assay")
    subprocess.run(
        [assay, "audit", "query", "--db", tmp_path / "log.db"],
        stdout=follower,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"},
        check=True,
        timeout=60,
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert target in shown
    assert "alice@example.com" in shown


def test_a_payload_is_not_written_to_a_terminal(log):
    (entry, *_) = json.loads(run("quarantine", "--db", log / "log.db", "--format", "json").output)
    leader, follower = pty.openpty()
    assay = Path(sys.executable).with_name("assay")
    done = subprocess.run(
        [assay, "audit", "quarantine", "--db", log / "log.db", "--payload", str(entry["leaf_index"])],
        stdout=follower,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(follower)
    os.close(leader)
    assert done.returncode == 2
    assert "raw bytes" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("query", "--limit", "9223372036854775808"), ("quarantine", "--payload", "99999999999999999999")],
)
def test_a_number_beyond_64_bits_is_wrong_usage(log, arguments):
    name, *rest = arguments
    done = run(name, "--db", log / "log.db", *rest)
    assert done.exit_code == 2
    assert "9223372036854775807" in done.output


def test_details_that_are_not_json_are_an_error_with_a_remedy(log):
    connection = sqlite3.connect(log / "log.db")
    connection.execute("DROP TRIGGER audit_log_no_update")
    connection.execute("UPDATE audit_log SET details = '{'")
    connection.commit()
    connection.close()
    done = run("query", "--db", log / "log.db")
    assert done.exit_code == 2
    assert "assay audit verify" in done.output


def test_files_of_a_log_are_for_their_owner(tmp_path):
    folder = tmp_path / "audit"
    store(folder, record())
    kept = sqlite3.connect(folder / "log.db")
    kept.execute("SELECT count(*) FROM audit_log").fetchone()
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    kept.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes["log.db"] == 0o600
    assert {mode for name, mode in modes.items() if name.startswith("log.db")} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_named(log):
    shutil.chown(log / "signing.key", 65534)
    (key,) = [path for path in log.iterdir() if path.stat().st_uid == 65534]
    with pytest.raises(Exception, match="another user owns the signing key"):
        store(log, record())
    assert key.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root starts the command as another user")
def test_a_log_that_must_not_be_read_is_an_error(log):
    # The folders above, and those of the modules, may be for root alone: the command opens the log's folder
    # first, and reports another error, which imports what it needs.
    code = (
        "import os; from click.testing import CliRunner; from assay.cli.main import main;"
        "os.chdir(os.environ['LOG']); CliRunner().invoke(main, ['audit', 'query', '--absent']);"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); main()"
    )
    log.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, "audit", "query", "--db", "log.db"],
        env={**os.environ, "LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "'log.db' is not readable" in done.stderr
    assert "Traceback" not in done.stderr
