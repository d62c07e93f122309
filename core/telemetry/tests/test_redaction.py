from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.semconv._redaction import rules
from assay.semconv.registry import definitions
from assay.telemetry import attach, execute, redact, redaction, span
from assay.telemetry._shapes import REDACTED, is_secret_key, is_suspect
from assay.telemetry.correlation import new_id
from assay.telemetry.redaction import hits, redact_text

REGISTRY = Path(__file__).parents[3] / "semconv" / "registry"

pytestmark = pytest.mark.skipif(
    not REGISTRY.is_dir(), reason="the package stands alone, outside its repository"
)


RULES = rules(definitions(REGISTRY / "redaction.yaml"))
EXAMPLES = [(shape, example) for shape in RULES.shapes for example in shape.match]
IDS = [f"{shape.id}-{number}" for number, (shape, _) in enumerate(EXAMPLES)]


@pytest.mark.parametrize(("shape", "example"), EXAMPLES, ids=IDS)
@pytest.mark.parametrize("around", ["{}", "before {} after", "({})", "line\n{}\nline"])
def test_a_secret_is_found_by_its_shape(shape, example, around):
    redaction.configure(optional=redaction.OPTIONAL_SHAPES)
    clean = redact(around.format(example.text))
    assert example.secret not in clean
    assert REDACTED in clean


@pytest.mark.parametrize("text", [text for shape in RULES.shapes for text in shape.leave])
def test_what_a_shape_leaves_stays(text):
    assert redact(text) is text


@pytest.mark.parametrize("shape", [shape for shape in RULES.shapes if shape.optional], ids=lambda one: one.id)
def test_an_optional_shape_is_left_until_it_is_named(shape):
    text = shape.match[0].text
    assert redact(text) is text
    redaction.configure(optional=[shape.id])
    assert shape.match[0].secret not in redact(text)


def test_an_unknown_optional_shape_is_an_error():
    with pytest.raises(ValueError, match="emails"):
        redaction.configure(optional=["emails"])


EXPRESSIONS = [(shape, expression) for shape in RULES.shapes for expression in shape.expressions]


@pytest.mark.hypothesis
@pytest.mark.parametrize(
    ("shape", "expression"),
    EXPRESSIONS,
    ids=[f"{shape.id}-{number}" for number, (shape, _) in enumerate(EXPRESSIONS)],
)
def test_every_match_has_an_anchor_and_passes_the_quick_search(shape, expression):
    expression = expression.removeprefix("(?i)")

    @settings(max_examples=50)
    @given(
        st.from_regex(re.compile(expression, re.ASCII | re.IGNORECASE * shape.ignores_case), fullmatch=True)
    )
    def check(text):
        searched = text.lower() if shape.ignores_case else text
        assert any(anchor in searched for anchor in shape.anchors)
        assert shape.optional or is_suspect(text)

    check()


@pytest.mark.parametrize(
    "text",
    [
        "webhook.office.com/00000000000000/00000000000000A",
        "dp.st.00000000000000A.00000000000000",
        "sntrys_00000000/00000000000000/00000000000000/0",
        "glc_00000000000/00000000000000/00000",
    ],
)
def test_a_secret_without_a_long_word_is_found(text):
    assert redact(text) == REDACTED


@pytest.mark.parametrize("key", RULES.keys.match)
def test_a_secret_is_found_by_its_key(key):
    assert is_secret_key(key)
    assert redact({key: "x", "other": 1}) == {key: REDACTED, "other": 1}


@pytest.mark.parametrize("key", RULES.keys.leave)
def test_a_key_that_only_looks_like_one_is_left_alone(key):
    assert not is_secret_key(key)


def test_a_key_that_is_a_secret_is_redacted():
    secret = "ghp_" + "a1B2" * 9
    assert redact({secret: 1, "a": {f"x {secret}": 2}}) == {REDACTED: 1, "a": {f"x {REDACTED}": 2}}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://bob:hunter2@db/shop", f"postgresql://bob:{REDACTED}@db/shop"),
        ("redis://:hunter2@cache:6379/0", f"redis://:{REDACTED}@cache:6379/0"),
        ("amqp://a:p@ss:w0rd@host/v", f"amqp://a:{REDACTED}@host/v"),
        ("cannot reach https://u:pw@h/p?x=1: refused", f"cannot reach https://u:{REDACTED}@h/p?x=1: refused"),
        ("https://h/p?api_key=abc&page=2", f"https://h/p?api_key={REDACTED}&page=2"),
        ("https://h/p?token=abcdefgh", f"https://h/p?token={REDACTED}"),
        (
            "Server=db;User Id=sa;Password=hunter2;Encrypt=yes",
            f"Server=db;User Id=sa;Password={REDACTED};Encrypt=yes",
        ),
        ("host=db user=bob password='hunter 2' port=1", f"host=db user=bob password={REDACTED} port=1"),
        ("AccountName=x;AccountKey=abc==;E=y", f"AccountName=x;AccountKey={REDACTED};E=y"),
        ('{"password": "hunter2", "n": 1}', f'{{"password": {REDACTED}, "n": 1}}'),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: {REDACTED}"),
        ("set-cookie: session=abc; Path=/", f"set-cookie: {REDACTED}"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", f"aws_secret_access_key = {REDACTED}"),
        ('connect(user="u", password="hunter2")', f'connect(user="u", password={REDACTED})'),
    ],
)
def test_the_secret_goes_and_the_rest_stays(text, clean):
    assert redact_text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "orders",
        "2026-11-21T04:08:40Z",
        "0f8b7c52-7f5c-4a6e-9a60-0d3e63c1f7a4",
        "https://example.org:8080/path?page=2&email=a@b.c",
        "git@github.com:acme/shop.git",
        "a basic materialization, and the bearer of news",
        "ratio: 3:4, at 10:30",
        "s3://bucket/key=2026/part-0.parquet",
        "the token was rejected",
        "tokens: 12",
        "warehouse/skipped/sk",
        "postgresql://db/shop",
    ],
)
def test_what_is_no_secret_is_left_alone(text):
    assert redact(text) is text


def test_nested_values_are_looked_into():
    value = {"a": [{"password": "x"}, ("ok", {"b": "ghp_" + "a" * 36})], "c": {"d": {"token": 7}}}
    assert redact(value) == {
        "a": [{"password": REDACTED}, ("ok", {"b": REDACTED})],
        "c": {"d": {"token": REDACTED}},
    }


def test_a_flag_under_a_secret_key_is_no_secret():
    assert redact({"password": None, "secret": True}) == {"password": None, "secret": True}


def test_what_is_nested_without_end_is_cut():
    loop: dict = {}
    loop["self"] = loop
    text = str(redact(loop))
    assert redaction.TOO_DEEP in text


def test_bytes_and_exceptions_are_texts():
    assert redact(b"password=hunter2") == b"password=" + REDACTED.encode()
    assert redact(ValueError("password=hunter2")) == f"password={REDACTED}"


def test_hits_are_counted_by_rule():
    before = hits()
    redact({"password": "x", "url": "a://b:c@d e://f:g@h"})
    after = hits()
    assert after["key"] - before.get("key", 0) == 1
    assert after["url_password"] - before.get("url_password", 0) == 2


def test_redacting_twice_changes_and_counts_nothing_more():
    once = redact({"password": "x", "u": "a://b:hunter2@d", "p": "password=hunter2", "c": "cookie: a=b"})
    before = hits()
    assert redact(once) is once
    assert hits() == before


def test_own_keys_and_shapes():
    redaction.configure(keys=["Iban"], shapes={"badge": re.compile(r"B-\d{6}")})
    assert redact({"iban": "DE00", "x": "badge B-123456"}) == {"iban": REDACTED, "x": f"badge {REDACTED}"}


def test_an_id_that_we_made_is_searched_for_own_shapes():
    before = new_id()
    assert redact(before) == before
    redaction.configure(shapes={"id": re.compile("[0-9a-f-]{36}")})
    assert (redact(before), redact(new_id())) == (REDACTED, REDACTED)


def test_it_can_be_switched_off():
    redaction.configure(enabled=False)
    assert redact({"password": "x"}) == {"password": "x"}


def test_handlers_see_no_secret(seen):
    execute("a.b", {"n": 1}, {"password": "hunter2", "error": "at a://b:hunter2@c", "ok": "yes"})
    with pytest.raises(ValueError, match="hunter2"), span("c.d", headers={"Authorization": "Basic hunter2"}):
        raise ValueError("password=hunter2")
    assert len(seen) == 3
    assert "hunter2" not in str(list(seen))
    assert seen[0][2]["ok"] == "yes"


def test_what_is_added_on_the_way_is_redacted_too(seen):
    with span("a.b") as s:
        s.metadata["note"] = "password=hunter2"
    assert seen.of("a.b.stop")[1]["note"] == f"password={REDACTED}"


@given(
    st.text(string.ascii_letters + string.digits + " ._-/", max_size=60),
    st.text(string.ascii_letters + string.digits + " ._-/", max_size=60),
    st.text(string.ascii_letters + string.digits, min_size=8, max_size=30),
)
def test_a_password_in_a_url_never_survives(before, after, password):
    password = f"Pw0{password}"
    assert password not in redact_text(f"{before} db://user:{password}@host/{after}").replace(REDACTED, "")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
))  # fmt: skip
def test_any_value_is_taken_and_the_second_time_is_the_same(value):
    once = redact(value)
    assert redact(once) == once


def test_a_handler_that_is_attached_later_gets_the_redacted_too():
    got = []
    execute("a.b", None, {"password": "x"})
    attach("late", "a.b", lambda _e, _m, d, _c: got.append(d["password"]))
    execute("a.b", None, {"password": "x"})
    assert got == [REDACTED]


@pytest.mark.parametrize("base", [tuple, list, dict, set, frozenset])
def test_a_container_that_refuses_iteration_is_one_value(base):
    class Refuses(base):
        def __iter__(self):
            raise RuntimeError("no")

        def items(self):
            raise RuntimeError("no")

    refuses = Refuses()
    assert redact({"extra": refuses, "password": "hunter2"}) == {"extra": refuses, "password": "[REDACTED]"}
