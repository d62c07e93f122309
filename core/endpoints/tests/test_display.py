from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.endpoints import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@host:1/a@b", "https://host:1/a@b"),
        ("me:hunter2@host:4319", "host:4319"),
        ("first http://a:b@one/x then https://c:d@two", "first http://one/x then https://two"),
        ("https://me:hun/ter2@host/", "https://host/"),
        ("https://me:hun?ter2@host/", "https://host/"),
        ("https://host/v1?token=hunter2", "https://host/v1?token=***"),
        ("https://host/v1?hunter2", "https://host/v1?***"),
        ("https://host/v1?tenant=a&api_key=hunter2#top", "https://host/v1?tenant=***&api_key=***#top"),
        ("https://host/?a=b?hunter2", "https://host/?a=***"),
        ("no answer from 'https://host/?key=hunter2'.", "no answer from 'https://host/?key=***'."),
        (
            "Max retries exceeded with url: /v1?token=hunter2 (Caused by X('refused'))",
            "Max retries exceeded with url: /v1?token=*** (Caused by X('refused'))",
        ),
    ],
)
def test_credentials_are_hidden(text, shown):
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "http://example.org/a@b",
        "http://example.org:80/a@b",
        "http://[::1]:4318/a@b",
        "https://example.org",
        "no URL, but name@example.org",
        "is a Collector running there? (refused)",
    ],
)
def test_texts_without_credentials_stay(text):
    assert without_credentials(text) == text


@given(st.text(st.sampled_from("abcXYZ019!$&'()*+,;=:@/?#%\"<> "), min_size=3))
def test_no_part_of_a_secret_is_shown(secret):
    marked = f"S3C{secret}R3T"
    assert "S3C" not in without_credentials(f"https://me:{quote(marked, safe='')}@host/path")
    assert "R3T" not in without_credentials(f"https://me:{quote(marked, safe='')}@host/path")
    shown = without_credentials(f"POST https://host/path?token={quote_plus(marked)}&b=c failed")
    assert "S3C" not in shown
    assert "R3T" not in shown
