"""From records to CDEvents, by the rules of the catalogue.

A rule belongs to a log event, or to a span. Where both lead to the same event (a span and the log events of
its phases), both give it the same id, so that the outbox keeps one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID, uuid5

from assay.exporters.cdevents import formats, model, vocabulary
from assay.exporters.cdevents.errors import RuleError
from assay.exporters.cdevents.records import Record
from assay.exporters.cdevents.template import ABSENT, fill, text
from assay.semconv.catalogue import Catalogue, CDEventRule, Span

NAMESPACE: Final = UUID("0d8bb5d0-5b0f-5f39-9f4b-6f4f0a3c2f5e")
"""Namespace of the UUIDs of events and chains. Changing it changes every id."""
CORRELATION: Final = "assay.correlation_id"
OPENING: Final = frozenset({"queued", "started"})
"""Predicates of what begins: they take a span's start as their time."""
HEADS: Final = (vocabulary.TYPES["pipelinerun.queued"], vocabulary.TYPES["pipelinerun.started"])
"""Types whose newest event in a chain is what the other events of that chain follow from."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Mapped:
    """A CDEvent that a record became, not validated yet.

    Args:
        document: Its JSON values.
        traceparent: W3C trace context of the record, or empty.
        linked: It already says what it follows from.
    """

    document: dict[str, Any]
    traceparent: str
    linked: bool

    @property
    def id(self) -> str:
        """`context.id`."""
        return self.document["context"]["id"]

    @property
    def type(self) -> str:
        """`context.type`."""
        return self.document["context"]["type"]

    @property
    def chain(self) -> str:
        """`context.chainId`, or empty."""
        return self.document["context"].get("chainId", "")

    def follow(self, origin: str) -> None:
        """Say that the event follows from the one with that id."""
        self.document["context"]["links"] = [{"linkType": "PATH", "from": {"contextId": origin}}]


@dataclass(frozen=True, slots=True)
class _Rule:
    rule: CDEventRule
    type: str
    standard: bool

    @property
    def opening(self) -> bool:
        return self.type.split(".")[-4] in OPENING


class Mapper:
    """The rules of a catalogue, ready for use.

    Args:
        catalogue: Where the rules stand.
        source: Template over the resource's attributes for `context.source`.
        draft_types: Whether the rules for the next version of CDEvents apply.

    Raises:
        RuleError: A rule names a type or a member that CDEvents does not have.
    """

    def __init__(self, catalogue: Catalogue, *, source: str, draft_types: bool = False) -> None:
        self._source = source
        self._events = {
            name: [_compiled(name, rule) for rule in event.cdevents if draft_types or not rule.draft]
            for name, event in catalogue.events.items()
        }
        self._spans = {
            name: [_compiled(name, rule) for rule in span.cdevents if draft_types or not rule.draft]
            for name, span in catalogue.spans.items()
        }
        self._phases = dict(_phases(catalogue.spans))
        self._openings = dict(self._find_openings())

    def events(self, record: Record) -> Iterator[Mapped]:
        """Yield the CDEvents that a record becomes."""
        rules = (self._spans if record.span else self._events).get(record.name, ())
        for rule in rules:
            if all(record.attributes.get(key) == value for key, value in rule.rule.when.items()):
                yield self._mapped(record, rule)

    def _mapped(self, record: Record, rule: _Rule) -> Mapped:
        subject = _subject(rule, record)
        filled: Any = fill(rule.rule.content, record.attributes)
        content: Any = cast("Any", {}) if filled is ABSENT else filled
        context: dict[str, Any] = {
            "specversion": model.SPEC_VERSION,
            "id": self._id(record, rule, subject, content),
            "source": source(self._source, record.resource),
            "type": rule.type,
            "timestamp": timestamp(record.start if rule.opening else record.end),
        }
        chain = fill(rule.rule.chain or f"{{{CORRELATION}}}", record.attributes)
        if chain is not ABSENT and chain != "":
            context["chainId"] = chain_id(text(chain))
        content = _texts(content) if rule.standard else content
        mapped = Mapped(
            {"context": context, "subject": {"id": subject, "content": content}},
            record.traceparent,
            linked=(origin := self._opening(record, rule)) != "",
        )
        if origin:
            mapped.follow(origin)
        return mapped

    def _id(self, record: Record, rule: _Rule, subject: str, content: object) -> str:
        """Derive the id: of a span's phase from span, type and subject, else from all that the event says."""
        span, moment = self._moment(record, rule)
        if span:
            return _phase_id(record, span, moment, rule.type, subject)
        correlation = record.attributes.get(CORRELATION)
        return _uuid(record.name, record.end, correlation, [subject, content], rule.type)

    def _moment(self, record: Record, rule: _Rule) -> tuple[str, str]:
        """Return the span that a record tells of, and which end of it; empty when it is no span's phase."""
        if not (record.trace_id and record.span_id):
            return "", ""
        if record.span:
            return record.name, "start" if rule.opening else "end"
        return self._phases.get(record.name, ("", ""))

    def _opening(self, record: Record, rule: _Rule) -> str:
        """Return the id of the event that told of this span's start, where this one tells of its end."""
        span, moment = self._moment(record, rule)
        opening = self._openings.get(span)
        if moment != "end" or opening is None:
            return ""
        return _phase_id(record, span, "start", opening.type, _subject(opening, record))

    def _find_openings(self) -> Iterator[tuple[str, _Rule]]:
        for name, rules in self._events.items():
            span, moment = self._phases.get(name, ("", ""))
            if moment == "start":
                yield from ((span, rule) for rule in rules[:1] if not rule.rule.when)
        for span, rules in self._spans.items():
            yield from ((span, rule) for rule in rules if rule.opening and not rule.rule.when)


def source(template: str, resource: Mapping[str, Any]) -> str:
    """Return `context.source`: the template filled with a resource's attributes, as a URI-reference.

    Values are percent-encoded. The path has no empty segments, so an absent attribute shortens it.

    Args:
        template: Such as `/{service.namespace}/{service.name}`, or with a scheme and host before it.
        resource: Attributes of the resource.
    """
    filled = _PLACE.sub(lambda place: quote(text(resource.get(place[1], "")), safe=""), template)
    scheme, separator, rest = filled.partition("://")
    path = re.sub("/{2,}", "/", rest if separator else filled)
    filled = f"{scheme}{separator}{path}" if separator else path
    return filled if filled != "/" else "/unknown_service"


def check_source(template: str) -> str:
    """Return a `source` template as it is.

    Raises:
        RuleError: No URI-reference can come of it.
    """
    try:
        formats.uri_reference(_PLACE.sub("x", template) or " ")
    except ValueError as error:
        raise RuleError(f"{template!r} {error}") from None
    return template


def timestamp(unix_nano: int) -> str:
    """Return RFC 3339 in UTC with microseconds, which every reader of date-times takes."""
    time = _EPOCH + timedelta(microseconds=unix_nano // 1000)
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def chain_id(value: str) -> str:
    """Return the UUID of a chain: the value itself where it is one, so that a Dagster run keeps its id."""
    try:
        return str(UUID(value)) if len(value) == len(str(NAMESPACE)) else _uuid("chain", value)
    except ValueError:
        return _uuid("chain", value)


def _subject(rule: _Rule, record: Record) -> str:
    subject = fill(rule.rule.subject, record.attributes)
    return "" if subject is ABSENT else text(subject)


def _phase_id(record: Record, span: str, moment: str, event_type: str, subject: str) -> str:
    # The subject is in it because events of several subjects may stand in one span, recorded by hand.
    return _uuid(record.trace_id, record.span_id, span, moment, event_type, subject)


def _uuid(*parts: object) -> str:
    return str(uuid5(NAMESPACE, json.dumps(parts, sort_keys=True, separators=(",", ":"))))


def _texts(value: Any) -> Any:  # noqa: ANN401  JSON in, JSON out
    """Standard content holds text only, whatever type the attribute had."""
    if isinstance(value, dict):
        return {name: _texts(member) for name, member in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_texts(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return text(value)


def _phases(spans: Mapping[str, Span]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, span in spans.items():
        yield f"{name}.{span.start}", (name, "start")
        for phase in (*span.stops, *span.exceptions):
            yield f"{name}.{phase}", (name, "end")


def _compiled(name: str, rule: CDEventRule) -> _Rule:
    """Check what can be checked before there is an event."""
    if rule.type.startswith("dev.cdeventsx."):
        if not re.fullmatch(model.CUSTOM_TYPE.removesuffix("$"), rule.type):
            raise RuleError(
                f"{name}: {rule.type!r} is no custom type: dev.cdeventsx.<tool>-<subject>.<predicate>.<x.y.z>"
            )
        return _Rule(rule, rule.type, standard=False)
    if rule.type not in vocabulary.TYPES:
        raise RuleError(f"{name}: {vocabulary.unknown(f'dev.cdevents.{rule.type}')}")
    whole = vocabulary.TYPES[rule.type]
    known = {member.rstrip("!") for member in vocabulary.EVENTS[whole.removeprefix("dev.cdevents.")]}
    wrong = sorted(set(rule.content) - known)
    if wrong:
        raise RuleError(f"{name}: the content of {rule.type} has no {wrong[0]!r}; it has {sorted(known)}")
    return _Rule(rule, whole, standard=True)
