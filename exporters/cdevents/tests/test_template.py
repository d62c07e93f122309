from __future__ import annotations

import pytest

from assay.exporters.cdevents._template import ABSENT, fill

ATTRIBUTES = {"a": "one", "n": 3, "t": True, "empty": "", "url": "x y/é", "list": ["p", "q"],
    "scp": "git@example.org:org/repo a.git", "path": "/srv/git/repo a", "https": "https://example.org/org/repo",
    "odd": "a@b/c?#%d", "commit": "abc:1",
}  # fmt: skip


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
        ({"uri": "{url}", "k": 1}, {"k": 1}),
        ({"uri": "{scp}"}, {"uri": "ssh://git@example.org/org/repo%20a.git"}),
        ({"uri": "{path}"}, {"uri": "file:///srv/git/repo%20a"}),
        ({"uri": "{https}"}, {"uri": "https://example.org/org/repo"}),
        ("pkg:generic/{odd}@{commit}", "pkg:generic/a%40b%2Fc%3F%23%25d@abc:1"),
        ("pkg:generic/{odd}@{none}", "pkg:generic/a%40b%2Fc%3F%23%25d"),
        ("pkg:generic/{none}@{none}", ABSENT),
        ({"text": "see {url}"}, {"text": "see x y/é"}),
    ],
)
def test_fill(template, filled):
    assert fill(template, ATTRIBUTES) == filled


def test_a_filled_value_is_not_a_template():
    assert fill("<{a}>", {"a": "{b}", "b": "no"}) == "<{b}>"
