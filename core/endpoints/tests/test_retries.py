from __future__ import annotations

import pytest

from assay.endpoints import retry_after


@pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), ("120", 120.0), (" 7 ", 7.0)])
def test_a_number_is_seconds(value, seconds):
    assert retry_after(value) == seconds


def test_a_date_is_compared_with_now():
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=18) == 42
    assert retry_after("Thu, 01 Jan 1970 00:01:00 -0000", now=18) == 42


def test_a_date_in_the_past_is_no_wait():
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT") == 0


@pytest.mark.parametrize(
    "value", [None, "", "nan", "-1", "1.5", "²", "soon", "Thu, 01 Jan 99999 00:00:00 GMT"]
)
def test_other_values_are_ignored(value):
    assert retry_after(value) is None
