from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.exporters.cdevents.errors import SinkUnavailable
from assay.exporters.cdevents.file_sink import FileSettings, FileSink
from assay.exporters.cdevents.outbox import Letter


def letters(*numbers: int) -> list[Letter]:
    return [Letter("s", str(n), "t", "x", "", json.dumps({"id": n, "text": "é\u2028"})) for n in numbers]


def numbers(path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def sink(path) -> FileSink:
    return FileSink(FileSettings(type="file", path=path))


def test_letters_are_lines_and_a_restart_appends(path):
    first = sink(path)
    first.send(letters(1, 2))
    first.close()
    sink(path).send(letters(3))
    assert numbers(path) == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 70_000])
def test_a_line_that_a_crash_cut_off_is_removed(path, size):
    sink(path).send(letters(1))
    with path.open("ab") as file:
        file.write(b'{"id": 2, "text": "' + b"x" * size)
    sink(path).send(letters(2))
    assert numbers(path) == [1, 2]


def test_a_cut_off_first_line_is_removed(path):
    path.write_bytes(b'{"id"')
    sink(path).send(letters(1))
    assert numbers(path) == [1]


def test_a_whole_last_line_without_its_end_is_kept(path):
    path.write_bytes(b'{"id": 1}')
    sink(path).send(letters(2))
    assert numbers(path) == [1, 2]


def test_a_rotated_file_is_begun_anew(path, tmp_path):
    writer = sink(path)
    writer.send(letters(1))
    path.rename(tmp_path / "old")
    writer.send(letters(2))
    assert numbers(path) == [2]
    assert numbers(tmp_path / "old") == [1]


def test_a_full_disk_is_said():
    with pytest.raises(SinkUnavailable, match="No space left"):
        sink(Path("/dev/full")).send(letters(1))


def test_a_folder_that_is_missing_is_said_and_may_come_later(tmp_path):
    writer = sink(tmp_path / "later" / "events.jsonl")
    with pytest.raises(SinkUnavailable, match="No such file"):
        writer.send(letters(1))
    (tmp_path / "later").mkdir()
    writer.send(letters(1))
    assert numbers(tmp_path / "later" / "events.jsonl") == [1]
