"""Reads the redaction rules of the registry, and derives the gateway's expressions from them.

`registry/redaction.yaml` describes a rule. The generator writes the rules for the application and for the
gateway, so that both find the same secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from assay.semconv._definitions import Definitions
from assay.semconv._document import Field, Node
from assay.semconv._grammar import assay_annotations

GROUP = "redaction"
MASK = "[REDACTED]"
"""Replacement of a secret."""

_NOTHING = "¦"
_HIDDEN = re.compile("⟨([^⟩]*)⟩")
_IGNORING_CASE = "(?i)"
_LIST = Field((list,), required=True)
_KEYS = {"words": _LIST, "last_words": _LIST, "pairs": _LIST, "match": _LIST, "leave": _LIST}
_SHAPE = {
    "id": Field((str,), required=True),
    "brief": Field((str,), required=True),
    "anchors": _LIST,
    "expressions": _LIST,
    "keep": Field((str,)),
    "optional": Field((bool,)),
    "match": _LIST,
    "leave": Field((list,)),
}
# RE2 lacks these: look-around, back-references, atomic groups, possessive repetitions, Python's own groups.
_NOT_RE2 = re.compile(r"\(\?[=!<>(]|\(\?P[=<>]|\\[1-9ZzAG]|[*+?}]\+")


@dataclass(frozen=True, slots=True)
class Example:
    """A text that holds a secret.

    Args:
        text: The text.
        secret: The part that must not remain.
    """

    text: str
    secret: str


@dataclass(frozen=True, slots=True)
class Shape:
    r"""The shape of a secret in a text.

    Args:
        id: Name of the rule.
        brief: What it finds.
        expressions: Expressions in the syntax that RE2 and Python share, of which one has to match;
            if the first ignores case, all do.
        keep: Replacement of a match; `\1` is the first group.
        anchors: Texts of which every match contains one; in lower case if the expression ignores case.
        optional: Searched only on request.
        match: Texts that must be redacted.
        leave: Texts that must not.
    """

    id: str
    brief: str
    expressions: tuple[str, ...]
    keep: str
    anchors: tuple[str, ...]
    optional: bool
    match: tuple[Example, ...]
    leave: tuple[str, ...]

    @property
    def expression(self) -> str:
        """The expressions as one."""
        return "|".join(self.expressions)

    @property
    def ignores_case(self) -> bool:
        """Whether the expression ignores case."""
        return self.expression.startswith(_IGNORING_CASE)

    @property
    def gateway_keep(self) -> str:
        """The replacement in the syntax of Go."""
        return re.sub(r"\\([1-9])", r"${\1}", self.keep)

    @property
    def is_whole(self) -> bool:
        """Whether the whole match is secret."""
        return self.keep == MASK


@dataclass(frozen=True, slots=True)
class Keys:
    """The words of keys that hold secrets.

    Args:
        words: Anywhere in a key.
        last_words: At its end.
        pairs: Side by side.
        match: Keys that hold a secret.
        leave: Keys that do not.
    """

    words: tuple[str, ...]
    last_words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    match: tuple[str, ...]
    leave: tuple[str, ...]

    def expressions(self) -> list[str]:
        """Return expressions that match the same keys as the application's reading of words."""
        last = [(word,) for word in self.last_words]
        every = [*((word,) for word in self.words), *self.pairs]
        return [
            f"(?i)(?:^|[^a-z])(?:{_joined(every, str, str, '{1,3}')})(?:$|[^a-z])",
            f"(?i)(?:^|[^a-z])(?:{_joined(last, str, str, '{1,3}')})$",
            # In camel case a capital begins a word, and a word ends before the next capital.
            f"(?:{_joined(every, str.capitalize, str.capitalize)})(?:$|[^a-z])",
            f"(?:^|[^a-zA-Z])(?:{_joined(every, str, str.capitalize)})(?:$|[^a-z])",
            f"(?:{_joined(last, str.capitalize, str.capitalize)})$",
        ]


@dataclass(frozen=True, slots=True)
class Redaction:
    """All rules."""

    keys: Keys
    shapes: tuple[Shape, ...]

    @property
    def default(self) -> list[Shape]:
        """The shapes that are always searched."""
        return [shape for shape in self.shapes if not shape.optional]

    @property
    def whole(self) -> str:
        """One expression for the default shapes whose whole match is secret and that do not ignore case."""
        return "|".join(
            shape.expression for shape in self.default if shape.is_whole and not shape.ignores_case
        )

    @property
    def partial(self) -> list[Shape]:
        """The default shapes that `whole` does not contain."""
        return [shape for shape in self.default if not shape.is_whole or shape.ignores_case]


def rules(found: Definitions) -> Redaction:
    """Return the redaction rules of a registry.

    Raises:
        RegistryError: A rule does not have the form that `registry/redaction.yaml` describes.
    """
    group = assay_annotations(found.sections["attribute_groups"][GROUP])[GROUP]
    group.check("`redaction`", {"keys": Field((dict,), required=True), "shapes": _LIST})
    keys = group["keys"]
    keys.check("`keys` of `redaction`", _KEYS)
    texts = {name: tuple(map(str, keys[name].plain())) for name in _KEYS if name != "pairs"}
    pairs = tuple((first, second) for first, second in keys["pairs"].plain())
    return Redaction(Keys(**texts, pairs=pairs), tuple(_shapes(group)))


def _shapes(group: Node) -> Iterator[Shape]:
    for node in group.items("shapes"):
        node.check("a shape of `redaction`", _SHAPE)
        shape = Shape(
            id=node["id"].value,
            brief=" ".join(node["brief"].value.split()),
            expressions=tuple(node["expressions"].plain()),
            keep=node.get("keep", MASK),
            anchors=tuple(node["anchors"].plain()),
            optional=node.get("optional", default=False),
            match=tuple(map(_example, node["match"].plain())),
            leave=tuple(map(str, node.get("leave", []))),
        )
        _check(shape, node)
        yield shape


def _check(shape: Shape, node: Node) -> None:
    """Check that both engines understand a shape, and that its examples match or do not."""
    name = f"`{shape.id}` of `redaction`"
    if _NOT_RE2.search(shape.expression):
        raise node.error(f"{name} uses syntax that RE2 lacks", "write it without look-around")
    try:
        compiled = re.compile(shape.expression, re.ASCII)
    except re.error as error:
        raise node.error(f"{name} is not an expression: {error}", "correct it") from error
    for example in shape.match:
        text = example.text.lower() if shape.ignores_case else example.text
        if example.secret in compiled.sub(shape.keep, example.text):
            raise node.error(f"{name} does not redact its example {example.text!r}", "correct one of them")
        if not any(anchor in text for anchor in shape.anchors):
            raise node.error(f"{name} has no anchor in its example {example.text!r}", "add the anchor")
    for text in shape.leave:
        if compiled.search(text):
            raise node.error(f"{name} matches {text!r}, which it must leave", "correct one of them")


def _example(text: str) -> Example:
    secret = _HIDDEN.search(text)
    plain = text.replace(_NOTHING, "").replace("⟨", "").replace("⟩", "")
    return Example(plain, secret[1].replace(_NOTHING, "") if secret else plain)


def _joined(
    words: list[tuple[str, ...]],
    first: Callable[[str], str],
    others: Callable[[str], str],
    gap: str = "{0,3}",
) -> str:
    """Return alternatives of words, or of words side by side with a gap of other characters between them."""
    return "|".join(
        f"[^a-zA-Z0-9]{gap}".join((first(each[0]), *(others(word) for word in each[1:]))) for each in words
    )
