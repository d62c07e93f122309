"""Validate the events of a file: JSON lines, as the file sink writes them, or one JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents.errors import Fault, InvalidEvent


@dataclass(frozen=True, slots=True)
class ValidatedEvent:
    """One event of a file, with the result of its validation.

    Args:
        line: Number of the event's line, from 1.
        event: The CDEvent; None if it is not valid.
        faults: The violations found.
    """

    line: int
    event: dict[str, Any] | None
    faults: tuple[Fault, ...] = ()


def validate(text: str) -> Iterator[ValidatedEvent]:
    """Validate every event of a text, and yield the results in order.

    The text is JSON lines, or one JSON document of any number of lines: an event or an array of events.
    """
    events = _events_of_document(text)
    yield from _events_of_lines(text) if events is None else events


def _events_of_document(text: str) -> list[ValidatedEvent] | None:
    """Return the events of a text that is meant to be one JSON document; None for JSON lines."""
    if "\n" not in text.strip() and not text.lstrip().startswith("["):
        return None
    try:
        document = cloudevents.decode(text)
    except InvalidEvent as error:
        return None if any(map(_is_object, text.split("\n"))) else [ValidatedEvent(1, None, error.faults)]
    items = cast("list[object]", document) if isinstance(document, list) else [document]
    return [_validated(1, item) for item in items]


def _events_of_lines(text: str) -> Iterator[ValidatedEvent]:
    # `splitlines` would also split at U+2028, U+0085 and the like, which JSON strings may contain.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = cloudevents.decode(line)
        except InvalidEvent as error:
            yield ValidatedEvent(number, None, error.faults)
        else:
            yield _validated(number, document)


def _is_object(line: str) -> bool:
    try:
        document = cloudevents.decode(line)
    except InvalidEvent:
        return False
    return isinstance(document, dict) and bool(cast("dict[str, Any]", document))


def _validated(line: int, document: object) -> ValidatedEvent:
    try:
        return ValidatedEvent(line, cloudevents.check(document))
    except InvalidEvent as error:
        return ValidatedEvent(line, None, error.faults)
