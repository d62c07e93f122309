"""The formats compared with independent implementations."""

from __future__ import annotations

import pytest
import rfc3987
from hypothesis import given
from hypothesis import strategies as st
from rfc3339_validator import validate_rfc3339

from assay.exporters.cdevents import _formats

pieces = st.sampled_from(
    ["a", "Z", "0", ":", "//", "/", "?", "#", "[", "]", "@", "::1", "%41", "%", "é", " ",
    "1.2.3.4", "ffff", "v1.x",
     "http:", "[::1]", "[1:2:3:4:5:6:7::]", "[::ffff:1.2.3.4]", ":80", "+", "-", ".", "..", "&",
     "~", "|", "{"]
)  # fmt: skip
texts = st.lists(pieces, max_size=7).map("".join)


def accepts(check, value):
    try:
        check(value)
    except ValueError:
        return False
    return True


def reference_accepts(value, rule):
    try:
        rfc3987.parse(value, rule=rule)
    except ValueError:
        return False
    return True


@given(texts)
def test_uri(value):
    assert accepts(_formats.uri, value) == reference_accepts(value, "URI")


@given(texts)
def test_uri_reference(value):
    assert accepts(_formats.uri_reference, value) == reference_accepts(value, "URI_reference")


@given(
    st.builds(
        "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}:{:02d}{}{}".format,
        st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32), st.sampled_from("Tt "),
        st.integers(0, 25),
        st.integers(0, 60), st.integers(0, 60), st.sampled_from(["", ".1", ".123456789", ".", ",5"]),
        st.sampled_from(["Z", "z", "+00:00", "-23:59", "+24:00", "+0000", ""]),
    )
)  # fmt: skip
def test_date_time(value):
    assert accepts(_formats.date_time, value) == validate_rfc3339(value.upper())


@pytest.mark.parametrize("value", ["/a\n", "2026-01-01T00:00:00Z\n", "\n"])
def test_a_newline_at_the_end_is_rejected(value):
    assert not accepts(_formats.uri_reference, value)
    assert not accepts(_formats.date_time, value)
