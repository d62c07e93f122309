"""Texts from outside, as messages and terminals may show them."""

from __future__ import annotations

import json
import re

HIDDEN = "***"
_BASIC_PLANE = 0xFFFF

# A password with a slash in it ends the authority early; a port in its place is a number.
_USERINFO = re.compile(r"(^|://)(?:[^\s/@]*|[^\s/:@\[]*:(?!\d*/)[^\s@]*)@")
# The query of a URL, or of a path alone as in an HTTP client's errors, without the punctuation after it.
_QUERY = re.compile(r"(?<=\S)\?(\S*[^\s?'\"()<>\[\].,;:!])")
_VALUE = re.compile(r"(^|&|;)([^&;=#]*=)?[^&;#]+")


def without_credentials(text: str) -> str:
    """Return a text without the user names, the passwords and the query values of the URLs in it.

    The names of a query's parameters stay: `https://host/?token=***`. A URL without its scheme is recognized
    at the start of the text only.
    """
    return _QUERY.sub(lambda match: f"?{_hidden(match[1])}", _USERINFO.sub(r"\1", text))


def _hidden(query: str) -> str:
    return _VALUE.sub(lambda match: f"{match[1]}{match[2] or ''}{HIDDEN}", query)


def printable(text: str) -> str:
    r"""Return a text on one line, in which nothing steers a terminal or imitates another line.

    Control characters, line ends, bidirectional overrides, invisible characters and lone surrogates become
    escape sequences such as `\x1b` and `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def printable_json(text: str) -> str:
    """Return a JSON text with the same value, in which nothing steers a terminal.

    The characters that `printable` escapes become JSON's escape sequences. Line ends stay.
    """
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= _BASIC_PLANE else json.dumps(char)[1:-1]
