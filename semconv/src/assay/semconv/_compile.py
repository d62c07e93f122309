"""Compiles checked definitions into a catalogue: resolves references and rejects contradictions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from assay.semconv import _grammar
from assay.semconv._attributes import Attributes
from assay.semconv._definitions import Definitions
from assay.semconv._document import Node
from assay.semconv._errors import nearest
from assay.semconv._grammar import assay_annotations
from assay.semconv._metrics import Metrics
from assay.semconv.catalogue import Attribute, Audit, Catalogue, CDEventRule, Event, Span, Topic

CORRELATION_ID = "assay.correlation_id"
"""The bridge sets this attribute on every signal, so no event lists it."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OUTCOMES = ("success", "failure", "unknown")
_TIMESTAMP = "timestamp"
"""Payload key whose value is the time of the event."""


def compile_catalogue(definitions: Definitions, base: Catalogue) -> Catalogue:
    """Return the catalogue of the definitions, which may refer to those of `base`.

    Raises:
        RegistryError: A definition refers to an unknown name, or contradicts another.
    """
    return _Compiler(definitions, base).catalogue()


class _Compiler:
    """Compiles one set of definitions."""

    def __init__(self, definitions: Definitions, base: Catalogue) -> None:
        self._definitions = definitions
        self._base = base
        self._attributes = Attributes(definitions, base.attributes)

    def catalogue(self) -> Catalogue:
        sections = self._definitions.sections
        spans = {name: self._span(name, node) for name, node in sections["spans"].items()}
        events = {name: self._event(name, node) for name, node in sections["events"].items()}
        metrics = Metrics(
            self._attributes, {**self._base.spans, **spans}, {**self._base.events, **events}
        ).compile(sections["metrics"])
        self._check_groups_and_entities()
        return Catalogue(self._attributes.defined, spans, events, metrics)

    def _span(self, name: str, node: Node) -> Span:
        own = assay_annotations(node)
        phases = own["phases"] if "phases" in own else Node({}, node.path, node.line)
        phases.check(f"`phases` of `{name}`", _grammar.PHASES)
        span = Span(
            event=name,
            name=own.get("name", ""),
            kind=node["kind"].value,
            start=phases.get("start", "start"),
            stops=phases.texts("phases", "stops") or ("stop",),
            exceptions=phases.texts("phases", "exceptions") or ("exception",),
        )
        span = self._with_attributes(span, node)
        if "name" in own:
            _check_placeholders(own["name"], span.name, _bus_keys(span.attributes), f"the name of `{name}`")
        every = [*span.attributes, *span.stop_attributes]
        every += [each for phase in span.phase_attributes.values() for each in phase]
        return replace(span, cdevents=_cdevents(name, own, every))

    def _with_attributes(self, span: Span, node: Node) -> Span:
        """Return the span with its attributes, divided by when they are set."""
        first: list[Attribute] = []
        last: list[Attribute] = []
        by_phase: dict[str, list[Attribute]] = {}
        for reference, attribute in self._attributes.of(span.event, node):
            own = assay_annotations(reference)
            if "by_phase" in own:
                for phase, value in own["by_phase"].value.items():
                    _check_ending_phase(value, phase, span)
                    value.expect(f"the value at `{phase}`", str, int, float, bool)
                    by_phase.setdefault(phase, []).append(replace(attribute, constant=value.value))
                continue
            default = "end" if attribute.measurement else "start"
            (last if own.get("phase", default) == "end" else first).append(attribute)
        return replace(
            span,
            attributes=tuple(first),
            stop_attributes=tuple(last),
            phase_attributes={phase: tuple(each) for phase, each in by_phase.items()},
        )

    def _event(self, name: str, node: Node) -> Event:
        own = assay_annotations(node)
        attributes = [attribute for _, attribute in self._attributes.of(name, node)]
        keys = _bus_keys(attributes)
        for key in own["when"].value if "when" in own else ():
            if key not in keys:
                problem = f"`when` of `{name}` names a key that it does not carry: `{key}`"
                raise own["when"][key].error(problem, _remedy(key, keys))
        return Event(
            name=name,
            severity=own.get("severity", "info"),
            body=own.get("body", node["brief"].value.strip().rstrip(".")),
            log=own.get("log", ""),
            when=own.get("when", {}),
            attributes=tuple(attributes),
            audit=_audit(name, own["audit"], keys) if "audit" in own else None,
            topics=tuple(_topic(name, each, keys) for each in own.items("topics")),
            cdevents=_cdevents(name, own, attributes),
        )

    def _check_groups_and_entities(self) -> None:
        """Check the definitions that the catalogue does not hold."""
        sections, references = self._definitions.sections, self._definitions.references
        for group in sections["attribute_groups"].values():
            for reference in references(group):
                self._attributes.resolve(reference)
        for entity in sections["entities"].values():
            for part in ("identity", "description"):
                for reference in references(entity, part):
                    self._attributes.resolve(reference)
        for section in ("spans", "events", "metrics"):
            for node in sections[section].values():
                for each in node.items("entity_associations"):
                    self._check_entity(each)

    def _check_entity(self, node: Node) -> None:
        entities = self._definitions.sections["entities"]
        # The catalogue holds no entities, so those of a base are unknown here.
        if isinstance(node.value, str) and node.value not in entities and not self._base.attributes:
            raise node.error(f"unknown entity `{node.value}`", nearest(node.value, entities))


def _audit(name: str, node: Node, keys: Collection[str]) -> Audit:
    node.check(f"`audit` of `{name}`", _grammar.AUDIT)
    for part in ("target", "actor"):
        if part in node and node[part].value not in keys:
            value = node[part]
            problem = f"`{part}` of the audit record of `{name}` is not one of its keys: `{value.value}`"
            raise value.error(problem, _remedy(value.value, keys))
    outcome = node["outcome"]
    if "{" in outcome.value:
        _check_placeholders(outcome, outcome.value, keys, f"the audit outcome of `{name}`")
    elif outcome.value not in _OUTCOMES:
        problem = f"the audit outcome of `{name}` is unknown: `{outcome.value}`"
        raise outcome.error(problem, f"it is one of: {', '.join(_OUTCOMES)}")
    return Audit(**node.plain())


def _topic(name: str, node: Node, keys: Collection[str]) -> Topic:
    """Return a topic, given by its name alone or as a mapping."""
    what = f"a topic of `{name}`"
    node.expect(what, str, dict)
    if isinstance(node.value, str):
        _check_placeholders(node, node.value, keys, what)
        return Topic(node.value)
    node.check(what, _grammar.TOPIC)
    _check_placeholders(node["topic"], node["topic"].value, keys, what)
    topic = Topic(
        topic=node["topic"].value,
        message=node.get("message", ""),
        payload=node.texts(what, "payload"),
        constants=node.get("constants", {}),
    )
    for each in node.items("payload"):
        if each.value not in {*keys, *topic.constants, _TIMESTAMP}:
            problem = f"`payload` of {what} names a key that the event does not carry: `{each.value}`"
            raise each.error(problem, _remedy(each.value, keys))
    for key in topic.constants:
        if key not in topic.payload:
            problem = f"`constants` of {what} names `{key}`, which is not in its `payload`"
            raise node["constants"][key].error(problem, "add it to `payload`, or remove it")
    return topic


def _cdevents(name: str, own: Node, attributes: Iterable[Attribute]) -> tuple[CDEventRule, ...]:
    keys = {CORRELATION_ID}
    for attribute in attributes:
        keys |= {attribute.key, *attribute.also}
    rules: list[CDEventRule] = []
    for node in own.items("cdevents"):
        node.check(f"a CDEvent of `{name}`", _grammar.CDEVENT)
        for part in ("subject", "content", "chain"):
            if part in node:
                _check_template(node[part], keys, f"`{part}` of a CDEvent of `{name}`")
        for key in node["when"].value if "when" in node else ():
            if key not in keys:
                problem = f"`when` of a CDEvent of `{name}` names an attribute that it lacks: `{key}`"
                raise node["when"][key].error(problem, _remedy(key, keys))
        rules.append(CDEventRule(**node.plain()))
    return tuple(rules)


def _check_template(node: Node, keys: Collection[str], what: str) -> None:
    if isinstance(node.value, str):
        _check_placeholders(node, node.value, keys, what)
    elif isinstance(node.value, dict | list):
        for part in node.parts():
            _check_template(part, keys, what)


def _check_placeholders(node: Node, text: str, keys: Collection[str], what: str) -> None:
    for key in _PLACEHOLDER.findall(text):
        if key not in keys:
            problem = f"{what} has a placeholder that it cannot fill: `{{{key}}}`"
            raise node.error(problem, _remedy(key, keys))


def _check_ending_phase(node: Node, phase: str, span: Span) -> None:
    ending = (*span.stops, *span.exceptions)
    if phase not in ending:
        problem = f"`by_phase` in `{span.event}` names a phase that does not end the span: `{phase}`"
        raise node.error(problem, f"it is one of: {', '.join(ending)}")


def _bus_keys(attributes: Iterable[Attribute]) -> set[str]:
    return {key for each in attributes for key in (each.name, each.source) if key}


def _remedy(key: str, keys: Collection[str]) -> str:
    return nearest(key, keys) or f"known here: {', '.join(sorted(keys))}"
