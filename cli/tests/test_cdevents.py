from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
from contextlib import closing

import pytest
import requests
from click.testing import CliRunner

from assay.cli.cdevents import command
from assay.exporters.cdevents._outbox import DeliveryOutbox, OutboxEntry
from assay.exporters.cdevents.cloudevents import envelope, headers

EVENT = {
    "context": {
        "specversion": "0.5.1", "id": "1", "source": "/a", "type": "dev.cdevents.taskrun.finished.0.3.0",
        "timestamp": "2026-01-01T00:00:00Z",
    },
    "subject": {"id": "run/task", "content": {"outcome": "success"}},
}  # fmt: skip
CUSTOM = {
    "context": {**EVENT["context"], "type": "dev.cdeventsx.tool-job.done.0.1.0"},
    "subject": {"id": "job", "content": {"outcome": 3}},
}
GOOD = envelope(EVENT)
BAD = envelope({**EVENT, "subject": {"id": "", "content": {}}})


def run(*arguments, text=None):
    return CliRunner().invoke(command, list(arguments), input=text)


def test_valid_lines_are_counted_by_type(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD)}\n")
    result = run("validate", str(path))
    assert result.exit_code == 0
    assert "2  dev.cdevents.taskrun.finished.0.3.0" in result.output
    assert "2 valid, 0 invalid" in result.output


def test_a_fault_is_reported_with_line_field_and_reason(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(BAD)}\nnonsense\n")
    result = run("validate", str(path))
    assert result.exit_code == 1
    assert re.search(rf"{path}:2: subject: is empty", result.output)
    assert re.search(rf"{path}:2: data.subject.id: String should have at least 1 character", result.output)
    assert re.search(rf"{path}:3: is not JSON", result.output)
    assert "1 valid, 2 invalid" in result.output


@pytest.mark.parametrize("text", [json.dumps(GOOD, indent=2), json.dumps([GOOD, GOOD]), json.dumps(EVENT)])
def test_one_document_on_standard_input(text):
    assert run("validate", "-", text=text).exit_code == 0


@pytest.mark.parametrize("text", ["", "\n", "[]", "\udcff", "3"])
def test_text_without_an_event_fails(text):
    data = text.encode("utf-8", "surrogateescape")
    assert run("validate", "-", text=data).exit_code == 1


def test_the_events_of_assay_up_in_the_working_directory_are_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assay-data").mkdir()
    (tmp_path / "assay-data/cdevents.jsonl").write_text(f"{json.dumps(GOOD)}\n{json.dumps(BAD)}\n")
    result = run("validate")
    assert result.exit_code == 1
    assert "assay-data/cdevents.jsonl:2: subject: is empty" in result.output


@pytest.mark.parametrize(
    ("command", "file"), [("validate", "cdevents.jsonl"), ("replay", "state/cdevents.db")]
)
def test_without_a_file_and_without_assay_up_the_error_names_both(tmp_path, monkeypatch, command, file):
    monkeypatch.chdir(tmp_path)
    result = run(command)
    assert result.exit_code == 2
    assert f"There is no assay-data/{file} of `assay up` in this folder" in result.output


def test_a_missing_file_is_wrong_usage(tmp_path):
    assert run("validate", str(tmp_path / "none")).exit_code == 2


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "--help"], ["tail", "--help"]])
def test_help_has_an_example(arguments):
    result = run(*arguments)
    assert result.exit_code == 0
    assert "Example: assay cdevents" in result.output


@pytest.fixture
def tail():
    """Start `assay cdevents tail` on a free port; return it and its address."""
    running = []

    def starting(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "assay.cli", "cdevents", "tail", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process, re.search(r"http://\S+", process.stderr.readline())[0]

    yield starting
    for process in running:
        process.kill()
        process.communicate()


def test_tail_receives_both_modes(tail):
    process, url = tail("--count", "2", "--json")
    structured = {"Content-Type": "application/cloudevents+json"}
    assert requests.post(url, data=json.dumps(GOOD), headers=structured, timeout=10).status_code == 204
    assert requests.post(url, data=json.dumps(EVENT), headers=headers(GOOD), timeout=10).status_code == 204
    output, _ = process.communicate(timeout=10)
    assert [json.loads(line) for line in output.splitlines()] == [GOOD, GOOD]
    assert process.returncode == 0


def test_tail_answers_400_to_an_invalid_event_and_exits_1(tail):
    process, url = tail("--count", "1")
    structured = {"Content-Type": "application/cloudevents+json"}
    answer = requests.post(url, data=json.dumps(BAD), headers=structured, timeout=10)
    assert answer.status_code == 400
    assert "data.subject.id" in answer.json()["error"]
    output, errors = process.communicate(timeout=10)
    assert output.startswith("INVALID  dev.cdevents.taskrun.finished.0.3.0")
    assert process.returncode == 1
    assert "1 events are invalid" in errors


def test_tail_reports_a_port_in_use(tail):
    _, url = tail()
    result = run("tail", "--port", url.rpartition(":")[2])
    assert result.exit_code == 1
    assert "cannot listen on 127.0.0.1" in result.output


def test_an_invalid_port_is_wrong_usage():
    assert run("tail", "--port", "65536").exit_code == 2


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"data_base64": base64.b64encode(json.dumps(EVENT).encode()).decode()}, "run/task  success"),
        ({"data": {**EVENT, "subject": {"id": "a\x1b[2Jb", "content": {}}}, "subject": None}, "a\\x1b[2Jb"),
        (envelope(CUSTOM), "job  3"),
    ],
)
def test_tail_shows_any_valid_event(tmp_path, event, shown):
    document = {name: value for name, value in GOOD.items() if name != "data"} | event
    (tmp_path / "events.jsonl").write_text(json.dumps(document) + "\n")
    result = run("tail", str(tmp_path / "events.jsonl"), "--count", "1")
    assert (result.exit_code, result.output.endswith(f"{shown}\n")) == (0, True), result.output


def test_unprintable_characters_are_escaped(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"specversion": "1.0", "\\ud800\\u001b[2J": 1, "data": {}}\n')
    result = run("validate", str(path))
    assert result.exit_code == 1
    assert f"{path}:1: \\ud800\\x1b[2J: is not an attribute name" in result.output


def test_a_closed_pipe_is_not_reported_as_an_unreadable_file(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("nonsense\n" * 100_000)
    command_line = [sys.executable, "-m", "assay.cli", "cdevents", "tail", str(path)]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tailing:
        tailing.stdout.readline()
        tailing.stdout.close()
        errors = tailing.stderr.read()
    assert errors == ""


def test_tail_follows_a_file(tmp_path):
    path = tmp_path / "events.jsonl"
    line = json.dumps(GOOD) + "\n"
    path.write_text(line + line[:20])

    def finish() -> None:
        with path.open("a") as file:
            file.write(line[20:])

    threading.Timer(0.3, finish).start()
    result = run("tail", str(path), "--count", "2")
    assert result.exit_code == 0
    assert (
        result.output == "2026-01-01T00:00:00Z  dev.cdevents.taskrun.finished.0.3.0  run/task  success\n" * 2
    )


def test_replay_makes_dead_letters_pending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "assay-data/state/cdevents.db"
    path.parent.mkdir(parents=True)
    with closing(DeliveryOutbox(path)) as outbox:
        outbox.add(
            [OutboxEntry("ci", "1", "t", "x", "", "{}"), OutboxEntry("", "2", "t", "x", "", "{}", "bad")]
        )
        outbox.mark_dead(outbox.due("ci", 1)[0], "answered 400")
        assert run("replay", str(path), "--sink", "other").output == "0 dead letters will be sent again\n"
        assert run("replay").output == "1 dead letters will be sent again\n"
        assert [entry.id for entry in outbox.due("ci", 9)] == ["1"]


@pytest.mark.parametrize("content", [None, b"not a database, and long enough for SQLite to see it" * 20])
def test_replay_names_a_file_that_is_not_an_outbox(tmp_path, content):
    path = tmp_path / "cdevents.db"
    if content is not None:
        path.write_bytes(content)
    result = run("replay", str(path))
    assert result.exit_code == 1
    assert str(path) in result.output
    assert path.exists() == (content is not None)
