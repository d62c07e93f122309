"""Files of events: what a line is, and what is wrong with it."""

from __future__ import annotations

import json

import pytest

from assay.exporters.cdevents.cloudevents import envelope
from assay.exporters.cdevents.documents import validate

from .test_cloudevents import EVENT


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85"])
def test_a_line_ends_at_a_line_feed_and_at_nothing_else(odd):
    event = {**EVENT, "subject": {**EVENT["subject"], "id": f"run{odd}task"}}
    line = json.dumps(envelope(event), ensure_ascii=False)
    assert odd in line
    assert [found.event for found in validate(f"{line}\n")] == [event]
    assert [(found.line, found.event) for found in validate(f"{line}\n\r\n{line}")] == [
        (1, event),
        (3, event),
    ]


def test_one_document_that_is_wrong_is_told_once():
    text = json.dumps(envelope(EVENT), indent=2).replace('"1.0"', "NaN")
    (found,) = validate(text)
    assert [str(fault) for fault in found.faults] == ["is no JSON: NaN is no JSON number"]


def test_among_lines_each_that_is_wrong_is_told():
    line = json.dumps(envelope(EVENT))
    found = list(validate(f"{{\n{line}\nnonsense\n"))
    assert [(one.line, one.event is None) for one in found] == [(1, True), (2, False), (3, True)]
