from __future__ import annotations

import pytest

from assay.exporters.cdevents._template import ABSENT, fill

ATTRIBUTES = {"a": "one", "n": 3, "t": True, "empty": "", "url": "x y/é", "list": ["p", "q"]}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("plain", "plain"),
        ("{a}", "one"),
        ("{n}", 3),
        ("{list}", ["p", "q"]),
        ("{empty}", ""),
        ("{none}", ABSENT),
        ("{a}/{n}/{t}", "one/3/true"),
        ("{a}: {none}", "one: "),
        ("{none}: {neither}", ABSENT),
        ({"x": "{a}", "y": "{none}"}, {"x": "one"}),
        ({"run": {"id": "{none}"}}, ABSENT),
        ({"run": {"id": "{none}", "kind": "k"}}, {"run": {"kind": "k"}}),
        ({}, {}),
        (["{a}", "{none}", 1], ["one", 1]),
        ({"uri": "urn:x:{url}"}, {"uri": "urn:x:x%20y%2F%C3%A9"}),
        ({"uri": "urn:x:{url}:{none}", "k": 1}, {"k": 1}),
        ({"uri": "{url}"}, {"uri": "x y/é"}),
        ({"text": "see {url}"}, {"text": "see x y/é"}),
    ],
)
def test_fill(template, filled):
    assert fill(template, ATTRIBUTES) == filled


def test_a_filled_value_is_not_a_template():
    assert fill("<{a}>", {"a": "{b}", "b": "no"}) == "<{b}>"
