from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.exporters.cdevents._file_sink import FileSettings, FileSink
from assay.exporters.cdevents._outbox import OutboxEntry
from assay.exporters.cdevents.errors import SinkUnavailable


def entries(*numbers: int) -> list[OutboxEntry]:
    return [OutboxEntry("s", str(n), "t", "x", "", json.dumps({"id": n, "text": "é\u2028"})) for n in numbers]


def numbers(path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def sink(path) -> FileSink:
    return FileSink(FileSettings(type="file", path=path))


def test_entries_are_lines_and_a_restart_appends(path):
    first = sink(path)
    first.send(entries(1, 2))
    first.close()
    sink(path).send(entries(3))
    assert numbers(path) == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 70_000])
def test_an_incomplete_last_line_is_removed(path, size):
    sink(path).send(entries(1))
    with path.open("ab") as file:
        file.write(b'{"id": 2, "text": "' + b"x" * size)
    sink(path).send(entries(2))
    assert numbers(path) == [1, 2]


def test_an_incomplete_only_line_is_removed(path):
    path.write_bytes(b'{"id"')
    sink(path).send(entries(1))
    assert numbers(path) == [1]


def test_a_complete_last_line_without_line_end_is_kept(path):
    path.write_bytes(b'{"id": 1}')
    sink(path).send(entries(2))
    assert numbers(path) == [1, 2]


def test_after_rotation_a_new_file_is_started(path, tmp_path):
    writer = sink(path)
    writer.send(entries(1))
    path.rename(tmp_path / "old")
    writer.send(entries(2))
    assert numbers(path) == [2]
    assert numbers(tmp_path / "old") == [1]


def test_a_full_disk_makes_the_sink_unavailable():
    with pytest.raises(SinkUnavailable, match="No space left"):
        sink(Path("/dev/full")).send(entries(1))


def test_a_missing_folder_makes_the_sink_unavailable_until_it_exists(tmp_path):
    writer = sink(tmp_path / "later" / "events.jsonl")
    with pytest.raises(SinkUnavailable, match="No such file"):
        writer.send(entries(1))
    (tmp_path / "later").mkdir()
    writer.send(entries(1))
    assert numbers(tmp_path / "later" / "events.jsonl") == [1]
