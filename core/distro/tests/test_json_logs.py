"""Lines of the application's own log records (ASSAY_LOGS=json), in real processes."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_no_class_of_logging_is_changed(instrumented):
    program = """
import logging
print("format" in vars(logging.StreamHandler), logging.Handler.format.__module__)
"""
    assert instrumented(program, env={"ASSAY_LOGS": "json"}).stdout == "False logging\n"


def test_a_record_is_never_lost_over_its_extra_fields(instrumented, receiver):
    program = """
import logging, sys
from typing import NamedTuple

class Pair(NamedTuple):
    first: int
    second: int
    def __iter__(self):
        raise RuntimeError("not iterable")
    def __str__(self):
        raise RuntimeError("no text")

class Text(str):
    def __str__(self):
        raise RuntimeError("no text")

class Mapping(dict):
    def items(self):
        raise RuntimeError("no items")

class Equal:
    def __eq__(self, other):
        raise RuntimeError("not comparable")
    __hash__ = None

class Error(Exception):
    def __str__(self):
        raise RuntimeError("no text")

values = {"pair": Pair(1, 2), "text": Text("x"), "mapping": Mapping(a=1), "equal": Equal(), "error": Error()}
values["cycle"] = values
logging.basicConfig(stream=sys.stdout)
for name, value in values.items():
    logging.error("with %s", name, extra={name: value, "other": 1})
logging.error("failed", exc_info=Error())
logging.error(Error(), 1, 2)
"""
    done = instrumented(program, env={"ASSAY_LOGS": "json"})
    assert "Logging error" not in done.stderr
    found = [line for line in lines(done.stdout) if line["logger"] == "root"]
    assert [line["message"] for line in found[:6]] == [
        f"with {name}" for name in ("pair", "text", "mapping", "equal", "error", "cycle")
    ]
    assert all(line["other"] in {1, "1"} for line in found[:6])
    assert found[6]["error_type"] == "Error"
    assert len(found) == 8
    sent = [record for record in receiver.logs() if record.severity_text == "ERROR"]
    assert len(sent) == 8


def test_json_applies_to_handlers_behind_queues_and_buffers(instrumented):
    program = """
import logging, logging.handlers, queue, sys
own = logging.getLogger("own")
own.propagate = False
records = queue.Queue()
own.addHandler(logging.handlers.QueueHandler(records))
listener = logging.handlers.QueueListener(records, logging.StreamHandler(sys.stdout))
listener.start()
own.error("through a queue")
listener.stop()
own.handlers = [logging.handlers.MemoryHandler(1, target=logging.StreamHandler(sys.stdout))]
own.error("through a buffer")
"""
    done = instrumented(program, env={"ASSAY_LOGS": "json"})
    assert [line["message"] for line in lines(done.stdout)] == ["through a queue", "through a buffer"]


def test_files_and_other_streams_keep_their_format(instrumented, tmp_path):
    program = """
import io, logging, sys
text = io.StringIO()
handlers = [logging.FileHandler("app.log"), logging.StreamHandler(text)]
logging.basicConfig(handlers=handlers, format="%(message)s|")
logging.error("plain")
handler = logging.getLogger().handlers[1]
handler.setStream(sys.stdout)
logging.error("json")
handler.setFormatter(logging.Formatter("mine:%(message)s"))
logging.error("json again")
handler.setStream(text)
logging.error("x")
print(text.getvalue().split())
"""
    first, second, last = instrumented(program, env={"ASSAY_LOGS": "json"}).stdout.splitlines()
    assert [json.loads(line)["message"] for line in (first, second)] == ["json", "json again"]
    assert last == "['plain|', 'mine:x']"
    assert (tmp_path / "app.log").read_text() == "plain|\njson|\njson again|\nx|\n"


def test_a_record_is_plain_when_structured_logging_breaks(instrumented):
    program = """
import logging, sys
from assay.distro import _json_logs

def broken():
    raise RuntimeError("broken")

logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.error("json")
usual, _json_logs.context = _json_logs.context, broken
logging.error("plain")
_json_logs.context = usual
logging.error("json again")
"""
    first, plain, last = instrumented(program, env={"ASSAY_LOGS": "json"}).stdout.splitlines()
    assert [json.loads(line)["message"] for line in (first, last)] == ["json", "json again"]
    assert plain == "plain"
