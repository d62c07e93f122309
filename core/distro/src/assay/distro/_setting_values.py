"""Parsers of setting values. Each returns the value of a variable's text, or raises `ValueError`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TypeAlias

from assay.endpoints import check_http_url, check_token
from assay.telemetry.correlation import is_correlation_id
from assay.telemetry.redaction import OPTIONAL_SHAPES

Rates: TypeAlias = dict[str, float]
"""A rate or a limit for each event pattern."""


def choice(*values: str) -> Callable[[str], str]:
    """Return a parser of one of the values, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in values:
            raise ValueError(text)
        return text.lower()

    return parse


def switch(text: str) -> bool:
    """Parse `on` or `off`."""
    return choice("on", "off")(text) == "on"


def file(text: str) -> str:
    """Parse the path of a file that exists; empty for none."""
    # Not Path.is_file: it raises for a folder that may not be read, and for a name that is too long.
    if text and not os.path.isfile(text):  # noqa: PTH113
        raise ValueError(text)
    return text


def files(text: str) -> tuple[str, ...]:
    """Parse paths of files that exist, joined by the system's path separator."""
    return tuple(file(part) for part in text.split(os.pathsep) if part)


def absolute_path(text: str) -> str:
    """Parse an absolute path; empty for none."""
    if text and not os.path.isabs(text):  # noqa: PTH117 - as above
        raise ValueError(text)
    return text


def optional_http_url(text: str) -> str:
    """Parse an http or https URL; empty for none."""
    return check_http_url(text) if text else ""


def seconds(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def rates(maximum: float) -> Callable[[str], Rates]:
    """Return a parser of `pattern=number,…`, with numbers above 0 and up to the maximum."""

    def parse(text: str) -> Rates:
        found: Rates = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            pattern, separator, number = part.rpartition("=")
            rate = float(number)
            if not separator or not pattern.strip() or not 0 < rate <= maximum:
                raise ValueError(part)
            found[pattern.strip()] = rate
        return found

    return parse


def token(text: str) -> str:
    """Parse a bearer token; empty for none."""
    return check_token(text) if text else ""


def correlation_id(text: str) -> str:
    """Parse a correlation id; empty for none."""
    if text and not is_correlation_id(text):
        raise ValueError(text)
    return text


def names(text: str) -> tuple[str, ...]:
    """Parse names, joined by commas."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def optional_shapes(text: str) -> tuple[str, ...]:
    """Parse names of the optional shapes of redaction, joined by commas."""
    return tuple(choice(*OPTIONAL_SHAPES)(name) for name in names(text))
