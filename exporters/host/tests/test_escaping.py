import logging

from hypothesis import given
from hypothesis import strategies as st

from assay.host.escaping import MESSAGE_CHARACTERS, EscapingFormatter, RepetitionFilter, escaped


def record(message, *arguments, line=1, error=None):
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("assay", logging.WARNING, "file.py", line, message, arguments, exc_info)


@given(st.text())
def test_escaped_text_is_printable_and_unambiguous(text):
    assert escaped(text, 10_000).isprintable()
    assert escaped(text, 10_000).encode("ascii", "backslashreplace").decode("unicode_escape") == text


def test_long_text_is_shortened_with_its_length():
    assert escaped("x" * 2_000_000, 3) == "xxx… (1999997 more characters)"


def test_every_message_is_one_printable_line_of_bounded_length():
    formatter = EscapingFormatter("%(levelname)s %(message)s")
    assert formatter.format(record("a %s", "b\nERROR c\x1b[2J\u202e")) == r"WARNING a b\nERROR c\x1b[2J\u202e"
    assert len(formatter.format(record("x" * 1_000_000))) < MESSAGE_CHARACTERS + 100


def test_a_traceback_keeps_its_lines_without_control_characters():
    try:
        raise ValueError("first\x1b[2J\nsecond" + "x" * 1_000_000)  # noqa: TRY301  a real traceback
    except ValueError as error:
        lines = EscapingFormatter().format(record("failed", error=error)).splitlines()
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])
    assert sum(map(len, lines)) < 30_000


def test_one_line_of_code_logs_a_bounded_number_of_records_in_a_period():
    limit = RepetitionFilter(at_most=2, seconds=3600)
    assert [limit.filter(record("a")) for _ in range(4)] == [True, True, False, False]
    assert limit.filter(record("a", line=2))
    again = RepetitionFilter(at_most=1, seconds=0)
    assert again.filter(record("a"))
    assert again.filter(record("a"))


def test_the_next_period_says_how_many_records_were_dropped(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("assay.host.escaping.time.monotonic", lambda: now[0])
    limit = RepetitionFilter(at_most=1, seconds=10)
    for _ in range(5):
        limit.filter(record("a"))
    now[0] = 11
    passed = record("a %d", 1)
    assert limit.filter(passed)
    assert passed.getMessage() == "a 1 (4 similar messages were dropped)"
