"""`assay show` on files that are being written, damaged, hostile and large; test_up.py has real ones."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from assay.audit.record import AuditRecord, to_log_record
from assay.cli import _otlp_lines
from assay.cli._show import runs, trace
from assay.cli.main import main
from assay.exporters.audit import AuditSink, Settings
from assay.host import Batch

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e\rverified"
TRACE = "3b87fa756dc08379481a98e20ec5b8ee"
OTHER_TRACE = "d3dfbf2d6977b3a78003902f83feaa70"
RUN = "d91c2930-beeb-4861-9ede-b63b2b5b908d"


def attributes(**values: str) -> list[dict[str, object]]:
    return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in values.items()]


def event(
    name: str, run: str = RUN, job: str = "nightly", seconds: float = 0.0, trace_id: str = TRACE
) -> dict:
    return {
        "eventName": name,
        "timeUnixNano": str(time.time_ns() + int(seconds * 1e9)),
        "traceId": trace_id,
        "attributes": attributes(
            flowstone__run_id=run, flowstone__job=job, assay__correlation_id=run, error__type="ValueError"
        ),
    }


def span(number: int, parent: int = 0, name: str = "RUN nightly", **more: object) -> dict[str, object]:
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "startTimeUnixNano": str(1_000_000_000 + number),
        "endTimeUnixNano": str(3_500_000_000 + number),
        **more,
    }


def lines(*requests: dict[str, object]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in requests)


def logs(*records: dict[str, object]) -> bytes:
    return lines(*({"resourceLogs": [{"scopeLogs": [{"logRecords": [each]}]}]} for each in records))


def spans(*records: dict[str, object]) -> bytes:
    return lines(*({"resourceSpans": [{"scopeSpans": [{"spans": [each]}]}]} for each in records))


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "logs.jsonl").write_bytes(
        logs(event("flowstone.run.start", seconds=-2), event("flowstone.run.exception"))
    )
    (tmp_path / "traces.jsonl").write_bytes(spans(span(2, 1, "flowstone.step"), span(1)))
    return tmp_path


def show(folder: Path, *arguments: str):
    return CliRunner().invoke(main, ["show", "--keep", str(folder), *arguments])


def shown(folder: Path, *arguments: str) -> dict:
    return json.loads(show(folder, "--json", *arguments).stdout)


def test_the_state_of_a_run_is_that_of_its_newest_event(folder):
    (run,) = shown(folder)["runs"]
    assert (run["id"], run["name"], run["outcome"], run["error"]) == (RUN, "nightly", "failure", "ValueError")
    assert 1.9 < run["seconds"] < 2.5


def test_a_run_that_has_not_ended_has_no_duration(folder):
    (folder / "logs.jsonl").write_bytes(logs(event("flowstone.run.start")))
    (run,) = shown(folder)["runs"]
    assert (run["outcome"], run["seconds"]) == ("running", None)


def test_events_count_by_their_times_and_not_by_their_order_in_the_file(folder):
    (folder / "logs.jsonl").write_bytes(
        logs(event("flowstone.run.stop"), event("flowstone.run.start", seconds=-2))
    )
    (run,) = shown(folder)["runs"]
    assert run["outcome"] == "success"
    assert 1.9 < run["seconds"] < 2.5


def test_the_list_has_the_runs_of_the_given_time(folder):
    old = event("flowstone.run.stop", run="old", seconds=-7200)
    (folder / "logs.jsonl").write_bytes(logs(old, event("flowstone.run.stop", run="new")))
    assert [run["id"] for run in shown(folder)["runs"]] == ["new"]
    assert [run["id"] for run in shown(folder, "--since", "3h")["runs"]] == ["new", "old"]


def test_the_given_time_has_the_forms_of_the_audit_log(folder):
    today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    assert len(shown(folder, "--since", today)["runs"]) == len(shown(folder, "--since", "24h")["runs"]) == 1
    assert not shown(folder, "--since", "9000-01-01")["runs"]
    wrong = show(folder, "--since", "yesterday")
    assert wrong.exit_code == 2
    assert "'yesterday' is not a time" in wrong.stderr


@pytest.mark.parametrize("name", [RUN, RUN[:4], TRACE, TRACE[:6]])
def test_a_run_is_named_by_its_id_or_its_trace_or_the_start_of_one(folder, name):
    assert shown(folder, name)["run"]["id"] == RUN


def test_a_name_of_several_runs_lists_them(folder):
    (folder / "logs.jsonl").write_bytes(
        logs(event("flowstone.run.stop", run="ab-1"), event("flowstone.run.stop", run="ab-2"))
    )
    result = show(folder, "ab")
    assert result.exit_code == 2
    assert "2 runs match ab" in result.stderr
    assert {"ab-1", "ab-2"} <= set(result.stderr.split())
    assert show(folder, "absent").exit_code == 2


@pytest.mark.parametrize(
    "tail", [b'{"resourceLogs": [{"scopeLo', b"\xff\x00 not json\n", b'"flowstone.run."\n']
)
def test_lines_that_are_not_complete_are_left_out(folder, tail):
    for name in ("logs.jsonl", "traces.jsonl", "cdevents.jsonl"):
        with (folder / name).open("ab") as file:
            file.write(tail.replace(b"{", b'{"' + RUN.encode() + TRACE.encode() + b'": {', 1))
    assert [run["id"] for run in shown(folder)["runs"]] == [RUN]
    assert len(shown(folder, RUN)["spans"]) == 2


def test_a_line_that_is_too_long_is_left_out_and_not_kept_in_memory(folder, monkeypatch):
    monkeypatch.setattr(_otlp_lines, "LONGEST", 2000)
    with (folder / "logs.jsonl").open("ab") as file:
        file.write(logs(event("flowstone.run.stop", run="long", job="x" * 5000)))
        file.write(logs(event("flowstone.run.stop", run="after")))
    assert {run["id"] for run in shown(folder)["runs"]} == {RUN, "after"}


def test_the_newest_runs_are_kept_of_many(folder, monkeypatch):
    monkeypatch.setattr(runs, "LIMIT", 10)
    many = [
        event("flowstone.run.stop", run=f"run-{number:03}", seconds=number / 1000) for number in range(100)
    ]
    (folder / "logs.jsonl").write_bytes(logs(*many))
    found = [run["id"] for run in shown(folder)["runs"]]
    assert found[:10] == [f"run-{number:03}" for number in range(99, 89, -1)]
    assert len(found) <= 20


def test_spans_beyond_the_limit_are_counted(folder, monkeypatch):
    monkeypatch.setattr(trace, "LIMIT", 1)
    found = shown(folder, RUN)
    assert (len(found["spans"]), found["spans_left_out"]) == (1, 1)


def test_a_span_is_shown_below_its_parent_wherever_it_stands_in_the_file(folder):
    text = show(folder, RUN).stdout
    assert "\nRUN nightly  2.50 s\n└── flowstone.step  2.50 s\n" in text


def test_spans_that_are_parents_of_one_another_are_shown(folder):
    (folder / "traces.jsonl").write_bytes(spans(span(1, 2, "one"), span(2, 1, "two"), span(3, 3, "self")))
    assert sorted(each["name"] for each in shown(folder, RUN)["spans"]) == ["one", "self", "two"]


def test_only_the_given_number_of_spans_is_printed(folder):
    text = show(folder, RUN, "--spans", "1").stdout
    assert "flowstone.step" not in text
    assert "1 more spans: --spans 2" in text


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "logs.jsonl").write_bytes(logs(event("flowstone.run.stop")))
    result = show(tmp_path, RUN)
    assert "no spans" in result.stdout
    assert "log.db does not exist" in result.stdout
    assert "no events" in result.stdout
    assert show(tmp_path / "absent").exit_code == 2


@pytest.fixture
def audited(folder) -> Path:
    """Return the folder with an audit record of the run."""
    (folder / "audit").mkdir()
    sink = AuditSink(Settings(database=folder / "audit/log.db", origin="audit.test/log"))
    record = AuditRecord(
        event_name="flowstone.run.start",
        action="START",
        outcome="success",
        actor_id="ines@example.com",
        actor_type="user",
        target_id=RUN,
        target_type="run",
        time_unix_nano=1,
        observed_time_unix_nano=1,
        record_id=str(uuid.uuid4()),
    )
    request = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[to_log_record(record)])])]
    )
    sink.export(Batch("audit", request, request.SerializeToString(), "protobuf", "collector", time.time_ns()))
    sink.shutdown()
    return folder


def test_a_record_is_verified_in_a_signed_checkpoint(audited):
    (entry,) = shown(audited, RUN)["audit"]["entries"]
    assert (entry["actor"], entry["action"]) == ("ines@example.com", "START")
    assert entry["proof"].pop("key").startswith("audit.test/log (key ")
    assert entry["proof"] == {"state": "verified", "leaf": 0, "size": 1, "reason": ""}
    text = show(audited, RUN).stdout
    assert "0 of 1  verified" in text
    assert "the checkpoint of size 1 covers leaves 0 to 0; signed by audit.test/log" in text


def test_a_changed_record_is_not_verified(audited):
    with closing(sqlite3.connect(audited / "audit/log.db")) as log:
        log.execute("DROP TRIGGER audit_log_no_update")
        log.execute("UPDATE audit_log SET leaf = replace(leaf, 'ines@', 'omar@')")
        log.commit()
    result = show(audited, RUN)
    assert result.exit_code == 1
    assert "unverified: " in result.stdout
    assert shown(audited, RUN)["audit"]["entries"][0]["proof"]["state"] == "unverified"


def test_a_record_is_not_verified_without_the_key(audited):
    (audited / "audit/verifier.key").unlink()
    result = show(audited, RUN)
    assert result.exit_code == 1
    assert "verifier.key" in result.stdout
    assert "unverified: " in result.stdout


def test_nothing_from_outside_steers_the_terminal(folder):
    (folder / "logs.jsonl").write_bytes(
        logs(event("flowstone.run.exception", job=HOSTILE), event("flowstone.run.stop", run=f"x{HOSTILE}"))
    )
    status = {"code": 2, "message": HOSTILE}
    (folder / "traces.jsonl").write_bytes(spans(span(1, name=f"[red]{HOSTILE}", status=status)))
    for arguments in ([], [RUN], ["--json"], [RUN, "--json"]):
        output = show(folder, *arguments).stdout
        assert all(char.isprintable() or char == "\n" for char in output)
    assert "[red]" in show(folder, RUN).stdout


def test_an_id_is_complete_on_a_terminal_of_80_columns(folder):
    (folder / "logs.jsonl").write_bytes(logs(event("flowstone.run.stop", job="a_job_with_a_long_name" * 2)))
    assert RUN in on_a_terminal("show", "--keep", str(folder))


def on_a_terminal(*arguments: str) -> str:
    """Return what `assay` prints on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "assay.cli", *arguments],
        stdout=follower,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"},
        check=True,
        timeout=120,
    )
    os.close(follower)
    printed = os.read(leader, 65536).decode()
    os.close(leader)
    return printed
