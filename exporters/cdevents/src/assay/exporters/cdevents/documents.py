"""Events in files: JSON lines, as the file sink writes them, or one JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents.errors import Fault, InvalidEvent


@dataclass(frozen=True, slots=True)
class Checked:
    """One event of a file.

    Args:
        line: Number of its line, from 1.
        event: The CDEvent; None when it is not valid.
        faults: What is wrong with it.
    """

    line: int
    event: dict[str, Any] | None
    faults: tuple[Fault, ...] = ()


def validate(text: str) -> Iterator[Checked]:
    """Yield every event of a text, valid or not.

    The text is JSON lines, or one JSON document that may go over many lines: an event or an array of events.
    """
    of_document = _one_document(text)
    yield from _lines(text) if of_document is None else of_document


def _one_document(text: str) -> list[Checked] | None:
    """Return the events of a text that is, or should be, one JSON document; None for one of JSON lines."""
    if "\n" not in text.strip() and not text.lstrip().startswith("["):
        return None
    try:
        document = cloudevents.decode(text)
    except InvalidEvent as error:
        return None if any(map(_is_object, text.split("\n"))) else [Checked(1, None, error.faults)]
    items = cast("list[object]", document) if isinstance(document, list) else [document]
    return [_checked(1, item) for item in items]


def _lines(text: str) -> Iterator[Checked]:
    # Not `splitlines`: text in JSON may hold U+2028, U+0085 and the like as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = cloudevents.decode(line)
        except InvalidEvent as error:
            yield Checked(number, None, error.faults)
        else:
            yield _checked(number, document)


def _is_object(line: str) -> bool:
    try:
        document = cloudevents.decode(line)
    except InvalidEvent:
        return False
    return isinstance(document, dict) and bool(cast("dict[str, Any]", document))


def _checked(line: int, document: object) -> Checked:
    try:
        return Checked(line, cloudevents.check(document))
    except InvalidEvent as error:
        return Checked(line, None, error.faults)
