"""Map records to CDEvents by the rules of the catalogue.

A rule belongs to a log event or to a span. If a span and the log events of its phases produce the same
event, the event has the same id from both, so that the outbox keeps one.
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

from assay.exporters.cdevents import _formats, _model, _vocabulary
from assay.exporters.cdevents._records import SourceRecord
from assay.exporters.cdevents._template import ABSENT, fill, text
from assay.exporters.cdevents.errors import RuleError
from assay.semconv import attributes
from assay.semconv.catalogue import Catalogue, CDEventRule, Event, Span

NAMESPACE: Final = UUID("0d8bb5d0-5b0f-5f39-9f4b-6f4f0a3c2f5e")
"""Namespace of the UUIDs of events and chains. A change of it changes every id."""
START_PREDICATES: Final = frozenset({"queued", "started"})
"""Predicates of events that report a start: their time is the start of the span."""
CHAIN_HEAD_TYPES: Final = (
    "dev.cdeventsx.alumiini-deployment.started.0.1.0",
    _vocabulary.TYPES["pipelinerun.queued"],
    _vocabulary.TYPES["pipelinerun.started"],
)
"""Types whose newest event in a chain is its head: the other events of the chain follow from it."""

_CHAIN_VERSION = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_CUSTOM = "dev.cdeventsx."
_LEGACY = re.compile(r"dev\.cdevents\.[a-zA-Z]+\.[a-zA-Z]+").fullmatch


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """A CDEvent made from a record, not validated yet.

    Args:
        document: The event as JSON values.
        traceparent: W3C trace context of the record, or empty.
        origin: Id of the event for the start of the span whose end this event reports; else empty.
        checked_as: The type whose schema the event must satisfy: its own, unless that is a legacy type.
    """

    document: dict[str, Any]
    traceparent: str
    origin: str
    checked_as: str

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

    @property
    def checked_document(self) -> dict[str, Any]:
        """The document to validate, whose type the specification allows."""
        return {**self.document, "context": {**self.document["context"], "type": self.checked_as}}

    def linked_from(self, origin: str) -> dict[str, Any]:
        """Return the document with a link from the event with the id `origin`; without one if it is empty."""
        if not origin:
            return self.document
        # Without `tags`, which the schemas do not require, the official Go SDK refuses a link.
        link = {"linkType": "PATH", "from": {"contextId": origin}, "tags": {}}
        return {**self.document, "context": {**self.document["context"], "links": [link]}}


@dataclass(frozen=True, slots=True)
class _CompiledRule:
    rule: CDEventRule
    type: str
    checked_as: str

    @property
    def standard(self) -> bool:
        return not self.checked_as.startswith(_CUSTOM)

    @property
    def reports_start(self) -> bool:
        return self.checked_as.split(".")[-4] in START_PREDICATES


class Mapper:
    """Applies the rules of a catalogue.

    Args:
        catalogue: The catalogue with the rules.
        source: Template for `context.source`, filled with resource attributes.
        draft_types: Whether to apply the rules for the next version of CDEvents.
        legacy_types: Whether to produce each event that has a legacy type with that type too.

    Raises:
        RuleError: A rule names a type or a member that CDEvents does not define.
    """

    def __init__(
        self, catalogue: Catalogue, *, source: str, draft_types: bool = False, legacy_types: bool = False
    ) -> None:
        def compiled(records: Mapping[str, Event] | Mapping[str, Span]) -> dict[str, list[_CompiledRule]]:
            return {
                name: [
                    made
                    for rule in record.cdevents
                    if draft_types or not rule.draft
                    for made in _compiled(name, rule)
                    if legacy_types or made.type == made.checked_as
                ]
                for name, record in records.items()
            }

        self._source = source
        self._events = compiled(catalogue.events)
        self._spans = compiled(catalogue.spans)
        self._phases = dict(_phases(catalogue.spans))
        self._start_rules = dict(self._find_start_rules())

    @property
    def types(self) -> frozenset[str]:
        """The event types that the rules produce."""
        rules = (*self._events.values(), *self._spans.values())
        return frozenset(rule.type for of_record in rules for rule in of_record)

    def events(self, record: SourceRecord) -> Iterator[MappedEvent]:
        """Yield the CDEvents that the rules make from a record."""
        rules = (self._spans if record.span else self._events).get(record.name, ())
        for rule in rules:
            if all(record.attributes.get(key) == value for key, value in rule.rule.when.items()):
                yield self._map(record, rule)

    def _map(self, record: SourceRecord, rule: _CompiledRule) -> MappedEvent:
        subject = _subject(rule, record)
        filled: Any = fill(rule.rule.content, record.attributes)
        content: Any = cast("Any", {}) if filled is ABSENT else filled
        context: dict[str, Any] = {
            "specversion": _vocabulary.spec_version(rule.type),
            "id": self._id(record, rule, subject, content),
            "source": source(self._source, record.resource),
            "type": rule.type,
            "timestamp": timestamp(record.start if rule.reports_start else record.end),
        }
        chain = fill(rule.rule.chain or f"{{{attributes.ASSAY_CORRELATION_ID}}}", record.attributes)
        if chain is not ABSENT and chain != "":
            context["chainId"] = chain_id(text(chain))
        content = _texts(content) if rule.standard else content
        return MappedEvent(
            {"context": context, "subject": {"id": subject, "content": content}},
            record.traceparent,
            self._start_event_id(record, rule),
            rule.checked_as,
        )

    def _id(self, record: SourceRecord, rule: _CompiledRule, subject: str, content: object) -> str:
        """Return an event's id: for a span's phase from span, type and subject, else from the whole event."""
        span, phase = self._phase(record, rule)
        if span:
            return _phase_id(record, span, phase, rule.type, subject)
        correlation = record.attributes.get(attributes.ASSAY_CORRELATION_ID)
        return _uuid(record.name, record.end, correlation, [subject, content], rule.type)

    def _phase(self, record: SourceRecord, rule: _CompiledRule) -> tuple[str, str]:
        """Return the span that a record reports, and its phase, start or end; empty if it reports none."""
        if not (record.trace_id and record.span_id):
            return "", ""
        if record.span:
            return record.name, "start" if rule.reports_start else "end"
        return self._phases.get(record.name, ("", ""))

    def _start_event_id(self, record: SourceRecord, rule: _CompiledRule) -> str:
        """Return the id of the event for the span's start, if this event is for its end; empty otherwise."""
        span, phase = self._phase(record, rule)
        start_rule = self._start_rules.get(span)
        if phase != "end" or start_rule is None:
            return ""
        return _phase_id(record, span, "start", start_rule.type, _subject(start_rule, record))

    def _find_start_rules(self) -> Iterator[tuple[str, _CompiledRule]]:
        """Yield each span with the unconditional rule that reports its start."""
        for name, rules in self._events.items():
            span, phase = self._phases.get(name, ("", ""))
            if phase == "start":
                yield from ((span, rule) for rule in rules[:1] if not rule.rule.when)
        for span, rules in self._spans.items():
            yield from ((span, rule) for rule in rules if rule.reports_start and not rule.rule.when)


def source(template: str, resource: Mapping[str, Any]) -> str:
    """Return `context.source`: the template filled with resource attributes, as a URI-reference.

    Values are percent-encoded. Empty segments of the path are removed, so an absent attribute shortens it.

    Args:
        template: Such as `/{service.namespace}/{service.name}`, optionally with scheme and host.
        resource: The attributes of the resource.
    """
    filled = _PLACEHOLDER.sub(lambda match: quote(text(resource.get(match[1], "")), safe=""), template)
    scheme, separator, rest = filled.partition("://")
    path = re.sub("/{2,}", "/", rest if separator else filled)
    filled = f"{scheme}{separator}{path}" if separator else path
    return filled if filled != "/" else "/unknown_service"


def check_source(template: str) -> str:
    """Return a `source` template if it produces URI-references.

    Raises:
        RuleError: It does not.
    """
    try:
        _formats.uri_reference(_PLACEHOLDER.sub("x", template) or " ")
    except ValueError as error:
        raise RuleError(f"{template!r} {error}") from None
    return template


def timestamp(unix_nano: int) -> str:
    """Return an RFC 3339 date-time in UTC with microseconds, which every parser accepts."""
    time = _EPOCH + timedelta(microseconds=unix_nano // 1000)
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def chain_id(value: str) -> str:
    """Return the UUID of a chain: the value itself if it is a UUID, so that a Dagster run keeps its id.

    For another value it is a UUID of the form v4, which CDEvents v0.5.1 `links.md` asks for.
    """
    try:
        if len(value) == len(str(NAMESPACE)):
            return str(UUID(value))
    except ValueError:
        pass
    return str(UUID(_uuid("chain", value), version=_CHAIN_VERSION))


def _subject(rule: _CompiledRule, record: SourceRecord) -> str:
    """Return the subject's id; absent attributes at the end of a path shorten it."""
    subject = fill(rule.rule.subject, record.attributes)
    return "" if subject is ABSENT else text(subject).rstrip("/")


def _phase_id(record: SourceRecord, span: str, phase: str, event_type: str, subject: str) -> str:
    # The subject is part of the id, because events of several subjects may be emitted inside one span.
    return _uuid(record.trace_id, record.span_id, span, phase, event_type, subject)


def _uuid(*parts: object) -> str:
    return str(uuid5(NAMESPACE, json.dumps(parts, sort_keys=True, separators=(",", ":"))))


def _texts(value: Any) -> Any:  # noqa: ANN401  JSON in, JSON out
    """Convert every value to text: the content of a standard event holds nothing else."""
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


def _compiled(name: str, rule: CDEventRule) -> Iterator[_CompiledRule]:
    """Validate a rule as far as possible without an event, and yield it for its type and its legacy type."""
    checked_as = _checked_type(name, rule)
    yield _CompiledRule(rule, checked_as, checked_as)
    if rule.legacy:
        if not _LEGACY(rule.legacy) or rule.legacy in _vocabulary.TYPES.values():
            raise RuleError(
                f"{name}: {rule.legacy!r} is not a legacy type: dev.cdevents.<subject>.<predicate>"
            )
        yield _CompiledRule(rule, rule.legacy, checked_as)


def _checked_type(name: str, rule: CDEventRule) -> str:
    """Return the complete type of a rule's events, and check that their content can be valid."""
    if rule.type.startswith(_CUSTOM):
        if not re.fullmatch(_model.CUSTOM_TYPE.removesuffix("$"), rule.type):
            raise RuleError(
                f"{name}: {rule.type!r} is not a custom type:"
                " dev.cdeventsx.<tool>-<subject>.<predicate>.<x.y.z>"
            )
        return rule.type
    if rule.type not in _vocabulary.TYPES:
        raise RuleError(f"{name}: {_vocabulary.unknown(f'dev.cdevents.{rule.type}')}")
    whole = _vocabulary.TYPES[rule.type]
    known = {member.rstrip("!") for member in _vocabulary.EVENTS[whole.removeprefix("dev.cdevents.")]}
    wrong = sorted(set(rule.content) - known)
    if wrong:
        raise RuleError(f"{name}: the content of {rule.type} has no {wrong[0]!r}; it has {sorted(known)}")
    return whole
