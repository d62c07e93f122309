"""Validation of files: how they are split into events, and which faults are reported."""

from __future__ import annotations

import json

import pytest

from assay.exporters.cdevents.cloudevents import envelope
from assay.exporters.cdevents.documents import validate

from .test_cloudevents import EVENT


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85"])
def test_only_a_line_feed_ends_a_line(odd):
    event = {**EVENT, "subject": {**EVENT["subject"], "id": f"run{odd}task"}}
    line = json.dumps(envelope(event), ensure_ascii=False)
    assert odd in line
    assert [result.event for result in validate(f"{line}\n")] == [event]
    assert [(result.line, result.event) for result in validate(f"{line}\n\r\n{line}")] == [
        (1, event),
        (3, event),
    ]


def test_one_invalid_document_has_one_result():
    text = json.dumps(envelope(EVENT), indent=2).replace('"1.0"', "NaN")
    (result,) = validate(text)
    assert [str(fault) for fault in result.faults] == ["is not JSON: NaN is not a JSON number"]


def test_each_invalid_line_has_a_result():
    line = json.dumps(envelope(EVENT))
    results = list(validate(f"{{\n{line}\nnonsense\n"))
    assert [(result.line, result.event is None) for result in results] == [(1, True), (2, False), (3, True)]
