"""Each expression of redaction takes a number of steps linear in the text, whatever the text is.

A matcher that backtracks as Python's does counts its steps. Bounds of repetitions are lowered to 16, which
shortens the texts on which a quadratic expression shows.
"""

from __future__ import annotations

import re
import sys

import pytest

from assay.telemetry._shapes import OPTIONAL, SHAPES

if sys.version_info >= (3, 11):
    from re import _constants as sre
    from re import _parser as parser
else:
    import sre_constants as sre
    import sre_parse as parser

BOUND = 16
LENGTH = 300
ALL = SHAPES | OPTIONAL
UNITS = [
    "a",
    "0",
    "a ",
    "a.",
    "://a:",
    "eyJ",
    "=",
    '"',
    "\\",
    "password=",
    "password='",
    'token:"',
    "--a-",
    "<a ",
    "@",
    "-",
]


class Matcher:
    """Matches an expression by backtracking, and counts the comparisons.

    Args:
        expression: The expression.
        text: The text.
    """

    def __init__(self, expression: str, text: str) -> None:
        self.tree = parser.parse(expression, re.ASCII)
        self.text = text.lower() if expression.startswith("(?i)") else text
        self.steps = 0

    def run(self) -> int:
        """Search the whole text as `re.sub` does; return the number of steps."""
        position = 0
        while position <= len(self.text):
            self.end = -1
            self.match(list(self.tree), 0, position, self.finish)
            position = max(self.end, position + 1)
        return self.steps

    def finish(self, position: int) -> bool:
        self.end = position
        return True

    def match(self, items, index, position, then) -> bool:
        while index < len(items):
            kind, value = items[index]
            index += 1
            self.steps += 1
            if kind in (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY):
                if not self.is_one(kind, value, position):
                    return False
                position += 1
            elif kind is sre.AT:
                if not self.is_at(value, position):
                    return False
            else:
                rest = lambda at, index=index: self.match(items, index, at, then)  # noqa: E731
                return self.choose(kind, value, position, rest)
        return then(position)

    def choose(self, kind, value, position, rest) -> bool:
        if kind is sre.SUBPATTERN:
            return self.match(list(value[3]), 0, position, rest)
        if kind is sre.BRANCH:
            return any(self.match(list(branch), 0, position, rest) for branch in value[1])
        low, high, body = min(value[0], BOUND), value[1], list(value[2])
        high = high if high is sre.MAXREPEAT else min(high, BOUND)
        if len(body) == 1 and body[0][0] in (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY):
            return self.repeat_one(kind, (low, high, body[0]), position, rest)
        return self.repeat(body, (low, high), position, rest)

    def repeat_one(self, kind, repetition, position, rest) -> bool:
        low, high, (one, value) = repetition
        most = 0
        if kind is sre.MIN_REPEAT:
            while True:
                if most >= low and rest(position + most):
                    return True
                self.steps += 1
                if most == high or not self.is_one(one, value, position + most):
                    return False
                most += 1
        while most != high and self.is_one(one, value, position + most):
            most += 1
            self.steps += 1
        return any(rest(position + count) for count in range(most, low - 1, -1))

    def repeat(self, body, limits, position, rest) -> bool:
        ends = [position]  # of each repetition: they match one character or fail, or are few

        def note(at: int) -> bool:
            ends.append(at)
            return True

        while limits[1] is sre.MAXREPEAT or len(ends) <= limits[1]:
            if not self.match(body, 0, ends[-1], note):
                break
        return any(rest(at) for at in reversed(ends[limits[0] :]))

    def is_one(self, kind, value, position) -> bool:
        if position >= len(self.text):
            return False
        character = self.text[position]
        if kind is sre.LITERAL:
            return character == chr(value)
        if kind is sre.NOT_LITERAL:
            return character != chr(value)
        if kind is sre.ANY:
            return character != "\n"
        found = any(self.is_in(each, character) for each in value)
        return found != (value[0][0] is sre.NEGATE)

    @staticmethod
    def is_in(each, character: str) -> bool:
        kind, value = each
        if kind is sre.LITERAL:
            return character == chr(value)
        if kind is sre.RANGE:
            return value[0] <= ord(character) <= value[1]
        if kind is sre.CATEGORY:
            word = re.match(r"\w", character, re.ASCII) is not None
            return {
                sre.CATEGORY_WORD: word,
                sre.CATEGORY_DIGIT: character.isdigit(),
                sre.CATEGORY_SPACE: character.isspace(),
                sre.CATEGORY_NOT_SPACE: not character.isspace(),
            }[value]
        return False  # NEGATE

    def is_at(self, where, position) -> bool:
        if where is sre.AT_BOUNDARY:
            before = self.text[position - 1 : position] if position else ""
            sides = (before, self.text[position : position + 1])
            return len({re.match(r"\w", side, re.ASCII) is not None for side in sides}) == 2
        return position == {sre.AT_END: len(self.text), sre.AT_BEGINNING: 0}[where]


def growth(expression: str, unit: str) -> float:
    """Return the factor by which the steps grow when the text doubles."""
    text = unit * (LENGTH // len(unit) + 1)
    return Matcher(expression, text * 2).run() / Matcher(expression, text).run()


@pytest.mark.parametrize("rule", ALL)
def test_steps_are_linear_in_the_text(rule):
    shape = ALL[rule]
    units = [*UNITS, *shape.anchors, *(f"{anchor}a" for anchor in shape.anchors)]
    assert {unit: grown for unit in units if (grown := growth(shape.expression, unit)) > 2.4} == {}


@pytest.mark.parametrize("expression", [r"a\w+b", r"(?:a|b)+c", r"x?a[^b]*b"])
def test_a_quadratic_expression_is_found(expression):
    assert growth(expression, "a") > 3


@pytest.mark.parametrize("rule", ALL)
def test_the_matcher_finds_what_the_engine_finds(rule):
    shape = ALL[rule]
    text = f"x {shape.anchors[0]} 4111 1111 1111 1111 password=hunter2 --token abc a@b.de"
    matcher = Matcher(shape.expression, text)
    found = []
    position = 0
    while position <= len(text):
        matcher.end = -1
        matcher.match(list(matcher.tree), 0, position, matcher.finish)
        if matcher.end > position:
            found.append((position, matcher.end))
        position = max(matcher.end, position + 1)
    assert found == [one.span() for one in shape.pattern.finditer(text)]
