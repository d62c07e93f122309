"""Recognize secrets by the registry's rules: names of keys, and shapes of values.

Every expression takes time linear in the text. It is compiled when a text first has one of its anchors,
because a program meets few of the shapes.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import pairwise
from re import Pattern

from assay.telemetry._redaction_rules import LAST_WORDS, PAIRS, RULES, WORDS

REDACTED = "[REDACTED]"


class Shape:
    r"""The shape of a secret in a text.

    Args:
        rule: Name of the rule.
        expression: Expression that matches the secret and what identifies it.
        replacement: Replacement of a match; `\1` is the first group.
        anchors: Texts of which every match contains one.
    """

    def __init__(self, rule: str, expression: str, replacement: str, anchors: tuple[str, ...]) -> None:
        self.rule = rule
        self.expression = expression
        self.replacement = replacement
        self.anchors = anchors
        self.ignores_case = expression.startswith("(?i)")

    @cached_property
    def pattern(self) -> Pattern[str]:
        """The compiled expression."""
        return re.compile(self.expression, re.ASCII)


SHAPES = {rule: Shape(rule, *rest) for rule, *rest, is_optional in RULES if not is_optional}
"""The shapes that are always searched, by rule."""

OPTIONAL = {rule: Shape(rule, *rest) for rule, *rest, is_optional in RULES if is_optional}
"""The shapes that are searched on request, by rule."""

# Every match of a default shape contains one of these: a separator, the start of a short shape, a long word.
# One search is cheaper than one for each anchor, and most texts have none of these.
_SUSPECT = re.compile(
    r"[:=@<~\"']|--|-u|1//0|xox|xapp-|eyJ|hooks\.slack|webhook\.office|dp\.[a-z]|sntry|gl(?:c|sa)_"
    r"|[A-Za-z0-9_-]{16}|[0-9]{15}|[0-9]{4}[ -][0-9]{4}|(?i:bearer|basic)\s",
    re.ASCII,
)
# Ids are long words too, and the text that differs most from event to event.
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,}", re.ASCII)
_KEY_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_suspect(text: str) -> bool:
    """Return whether a text may hold one of the shapes; False is certain for the default shapes."""
    return _ID.fullmatch(text) is None and _SUSPECT.search(text) is not None


def is_secret_key(key: str) -> bool:
    """Return whether the name of a key marks its value as a secret."""
    words = [word.lower() for word in _KEY_WORDS.findall(key)]
    return (
        not WORDS.isdisjoint(words)
        or (bool(words) and words[-1] in LAST_WORDS)
        or any(pair in PAIRS for pair in pairwise(words))
    )
