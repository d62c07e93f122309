"""From checked definitions to the catalogue.

References are resolved here, and what contradicts itself is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay.semconv import _grammar, upstream
from assay.semconv._document import Node
from assay.semconv._grammar import assay_annotations
from assay.semconv.catalogue import Attribute, Audit, Catalogue, CDEventRule, Event, Metric, Recording, Span
from assay.semconv.errors import nearest
from assay.semconv.prometheus import series_name

CORRELATION_ID = "assay.correlation_id"  # the bridge sets it on everything, so no event lists it
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OUTCOMES = ("success", "failure", "unknown")
_ENUM_TYPES = {str: "string", int: "int", bool: "boolean"}
_DURATION = "duration"  # the bus measures it at the end of every span
# The bus adds these to the phase that ends in an error.
_OF_EXCEPTIONS = (
    Attribute(key="exception.kind", name="kind"),
    Attribute(key="exception.reason", name="reason"),
)


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions of all files, by section and name, in the order of the files."""

    sections: dict[str, dict[str, Node]] = field(
        default_factory=lambda: {section: {} for section in _grammar.SECTIONS}
    )

    def add(self, document: Node, base: Catalogue) -> None:
        """Take in a checked file.

        Raises:
            RegistryError: It defines a name that is taken.
        """
        for section, (name, _) in _grammar.SECTIONS.items():
            taken: Mapping[str, object] = getattr(base, section, {})
            for definition in document.items(section):
                key = definition[name].value
                if key in self.sections[section]:
                    first = self.sections[section][key]
                    place = f"{first.path}:{first.line}"
                    raise definition.error(
                        f"duplicate name `{key}` in `{section}`, first at {place}", "rename one"
                    )
                if key in taken:
                    remedy = "choose a name of your own" + (
                        ", or use it by `ref`" * (section == "attributes")
                    )
                    raise definition.error(f"duplicate name `{key}` in `{section}`: Assay defines it", remedy)
                self.sections[section][key] = definition


def compile_catalogue(definitions: Definitions, base: Catalogue) -> Catalogue:
    """Return the catalogue of the definitions, which may refer to those of `base`."""
    return _Compiler(definitions, base).catalogue()


class _Compiler:
    """Compiles one set of definitions; holds what references may name."""

    def __init__(self, definitions: Definitions, base: Catalogue) -> None:
        self._definitions = definitions.sections
        self._base = base
        self._attributes = {
            key: _defined_attribute(node) for key, node in self._definitions["attributes"].items()
        }
        self._spans: dict[str, Span] = {}
        self._events: dict[str, Event] = {}

    def catalogue(self) -> Catalogue:
        for name, node in self._definitions["spans"].items():
            self._spans[name] = self._span(name, node)
        for name, node in self._definitions["events"].items():
            self._events[name] = self._event(name, node)
        metrics = {name: self._metric(name, node) for name, node in self._definitions["metrics"].items()}
        self._check_others()
        return Catalogue(self._attributes, self._spans, self._events, metrics)

    # Attributes

    def _references(self, node: Node, part: str = "attributes") -> Iterator[Node]:
        groups = self._definitions["attribute_groups"]
        for reference in node.items(part):
            if "ref" in reference:
                yield reference
                continue
            group = reference["ref_group"]
            if group.value not in groups:
                raise group.error(f"unknown attribute group `{group.value}`", nearest(group.value, groups))
            yield from self._references(groups[group.value])

    def _attribute(self, reference: Node) -> Attribute:
        """Return the attribute that is referred to, with what the reference changes."""
        found = self._find(reference["ref"])
        changes = dict(assay_annotations(reference).plain())
        changes.pop("phase", None)
        if "also" in changes:
            changes["also"] = assay_annotations(reference).texts(f"`{found.key}`", "also")
        return replace(found, **changes)

    def _find(self, reference: Node) -> Attribute:
        key = reference.value
        if key in self._attributes:
            return self._attributes[key]
        if key in self._base.attributes:
            return self._base.attributes[key]
        if upstream.known(key):
            return self._attributes.setdefault(key, Attribute(key, key.replace(".", "_")))
        known = {*self._attributes, *self._base.attributes, *upstream.published()}
        remedy = nearest(key, known) or "define it under `attributes:`"
        raise reference.error(f"unknown attribute `{key}`", remedy)

    def _attributes_of(self, name: str, node: Node) -> list[tuple[Node, Attribute]]:
        """Return a signal's references and attributes, of which no two may share a key or a bus key."""
        found: list[tuple[Node, Attribute]] = []
        for reference in self._references(node):
            attribute = self._attribute(reference)
            for _, other in found:
                if attribute.key == other.key or attribute.name == other.name:
                    problem = (
                        f"`{name}` has `{attribute.key}` and `{other.key}`, both named `{attribute.name}`"
                    )
                    raise reference.error(
                        problem, "remove one, or rename it with `annotations: {assay: {name: …}}`"
                    )
            found.append((reference, attribute))
        return found

    # Spans and events

    def _span(self, name: str, node: Node) -> Span:
        own = assay_annotations(node)
        phases = own["phases"] if "phases" in own else Node({}, node.path, node.line)
        phases.check(f"`phases` of `{name}`", _grammar.PHASES)
        first: list[Attribute] = []
        last: list[Attribute] = []
        for reference, attribute in self._attributes_of(name, node):
            default = "end" if attribute.measurement else "start"
            phase = assay_annotations(reference).get("phase", default)
            (last if phase == "end" else first).append(attribute)
        return Span(
            event=name,
            kind=node["kind"].value,
            start=phases.get("start", "start"),
            stops=phases.texts("phases", "stops") or ("stop",),
            exceptions=phases.texts("phases", "exceptions") or ("exception",),
            attributes=tuple(first),
            stop_attributes=tuple(last),
            cdevents=self._cdevents(name, own, [*first, *last]),
        )

    def _event(self, name: str, node: Node) -> Event:
        own = assay_annotations(node)
        attributes = [attribute for _, attribute in self._attributes_of(name, node)]
        keys = {attribute.name for attribute in attributes} | {a.source for a in attributes if a.source}
        topics = own.texts(f"`{name}`", "topics")
        for topic in own.items("topics"):
            self._check_placeholders(topic, topic.value, keys, f"a topic of `{name}`")
        return Event(
            name=name,
            severity=own.get("severity", "info"),
            body=own.get("body", node["brief"].value.strip().rstrip(".")),
            log=own.get("log", ""),
            attributes=tuple(attributes),
            audit=self._audit(name, own["audit"], keys) if "audit" in own else None,
            topics=topics,
            cdevents=self._cdevents(name, own, attributes),
        )

    def _audit(self, name: str, node: Node, keys: set[str]) -> Audit:
        node.check(f"`audit` of `{name}`", _grammar.AUDIT)
        for field_name in ("target", "actor"):
            if field_name in node and node[field_name].value not in keys:
                value = node[field_name]
                remedy = nearest(value.value, keys) or f"the event has: {', '.join(sorted(keys))}"
                problem = f"`{field_name}` of the audit record of `{name}` is no attribute: `{value.value}`"
                raise value.error(problem, remedy)
        outcome = node["outcome"]
        if "{" in outcome.value:
            self._check_placeholders(outcome, outcome.value, keys, f"the audit outcome of `{name}`")
        elif outcome.value not in _OUTCOMES:
            problem = f"the audit outcome of `{name}` is unknown: `{outcome.value}`"
            raise outcome.error(problem, f"it is one of: {', '.join(_OUTCOMES)}")
        return Audit(**node.plain())

    def _cdevents(self, name: str, own: Node, attributes: Iterable[Attribute]) -> tuple[CDEventRule, ...]:
        keys = {CORRELATION_ID}
        for attribute in attributes:
            keys |= {attribute.key, *attribute.also}
        rules: list[CDEventRule] = []
        for node in own.items("cdevents"):
            node.check(f"a CDEvent of `{name}`", _grammar.CDEVENT)
            for part in ("subject", "content", "chain"):
                if part in node:
                    self._check_template(node[part], keys, f"`{part}` of a CDEvent of `{name}`")
            for key in node["when"].value if "when" in node else ():
                if key not in keys:
                    problem = f"`when` of a CDEvent of `{name}` names no attribute of it: `{key}`"
                    raise node["when"][key].error(problem, nearest(key, keys))
            rules.append(CDEventRule(**node.plain()))
        return tuple(rules)

    def _check_template(self, node: Node, keys: set[str], what: str) -> None:
        if isinstance(node.value, str):
            self._check_placeholders(node, node.value, keys, what)
        elif isinstance(node.value, dict | list):
            for part in node.parts():
                self._check_template(part, keys, what)

    @staticmethod
    def _check_placeholders(node: Node, text: str, keys: set[str], what: str) -> None:
        for key in _PLACEHOLDER.findall(text):
            if key not in keys:
                remedy = nearest(key, keys) or f"it may name: {', '.join(sorted(keys))}"
                raise node.error(f"{what} names no attribute of it: `{{{key}}}`", remedy)

    # Metrics

    def _metric(self, name: str, node: Node) -> Metric:
        own = assay_annotations(node)
        unit, instrument = node["unit"], node["instrument"].value
        if not unit.value.strip():
            raise unit.error(f"metric `{name}` has no unit", "give a UCUM unit, such as `ms` or `{item}`")
        series = series_name(name, unit.value, instrument)
        if "series" in own and own["series"].value != series:
            problem = (
                f"`{name}` cannot appear as `{own['series'].value}`: name, unit and kind make it `{series}`"
            )
            raise own["series"].error(problem, "change the name or the unit, or leave `series` out")
        labels = self._attributes_of(name, node)
        recorded = [(each, self._recording(name, each)) for each in own.items("record")]
        carried = [(each, recording, self._carried(each["event"])) for each, recording in recorded]
        for each, recording, attributes in carried:
            _check_recording(name, each, recording, {label.name for _, label in labels}, attributes)
        return Metric(
            name=name,
            instrument=instrument,
            unit=unit.value,
            description=node["brief"].value.strip(),
            labels=tuple(_label(name, reference, label, carried) for reference, label in labels),
            recordings=tuple(
                _with_constants(recording, labels, attributes) for _, recording, attributes in carried
            ),
            buckets=_buckets(name, own, instrument),
            series=series,
        )

    def _recording(self, name: str, node: Node) -> Recording:
        node.check(f"a recording of `{name}`", _grammar.RECORD)
        return Recording(**node.plain())

    def _carried(self, event: Node) -> tuple[Attribute, ...]:
        """Return the attributes of a bus event: those of its log event and of the span whose phase it is."""
        name: str = event.value
        spans, events = {**self._base.spans, **self._spans}, {**self._base.events, **self._events}
        found: tuple[Attribute, ...] = ()
        prefix, _, phase = name.rpartition(".")
        span = spans.get(prefix)
        is_phase = span is not None and phase in (span.start, *span.stops, *span.exceptions)
        if name in events:
            found += events[name].attributes
        if span is not None and is_phase:
            found += span.attributes if phase == span.start else (*span.attributes, *span.stop_attributes)
            found += _OF_EXCEPTIONS if phase in span.exceptions else ()
        if name in events or is_phase:
            return found
        known = {*events}
        for each in spans.values():
            known.update(f"{each.event}.{phase}" for phase in (each.start, *each.stops, *each.exceptions))
        raise event.error(f"unknown event `{name}`", nearest(name, known) or "define it under `events:`")

    # What the catalogue does not hold, but must be right

    def _check_others(self) -> None:
        for group in self._definitions["attribute_groups"].values():
            for reference in self._references(group):
                self._attribute(reference)
        for entity in self._definitions["entities"].values():
            for part in ("identity", "description"):
                for reference in self._references(entity, part):
                    self._attribute(reference)
        entities = self._definitions["entities"]
        for section in ("spans", "events", "metrics"):
            for node in self._definitions[section].values():
                for each in node.items("entity_associations"):
                    if (
                        isinstance(each.value, str)
                        and each.value not in entities
                        and not self._base.attributes
                    ):
                        raise each.error(f"unknown entity `{each.value}`", nearest(each.value, entities))


def _defined_attribute(node: Node) -> Attribute:
    key = node["key"].value
    kind: Any = node["type"]
    kind = _ENUM_TYPES[type(kind["members"].value[0]["value"].value)] if "members" in kind else kind.value
    own: dict[str, Any] = dict(assay_annotations(node).plain())
    own["also"] = assay_annotations(node).texts(f"`{key}`", "also")
    for each in assay_annotations(node).items("also"):
        if not upstream.known(each.value):
            problem = f"`also` of `{key}` is no attribute of OpenTelemetry: `{each.value}`"
            raise each.error(problem, nearest(each.value, upstream.published()))
    # Without its namespace: `alumiini.repo.name` is `repo_name` on the bus.
    short = key.partition(".")[2].replace(".", "_") or key
    return replace(Attribute(key, short, kind), **own)


def _label(
    metric: str,
    reference: Node,
    label: Attribute,
    carried: list[tuple[Node, Recording, tuple[Attribute, ...]]],
) -> Attribute:
    """Return the label as the recorded events carry it; raise if one of them does not."""
    sources: set[tuple[str, bool, float]] = set()
    for _, recording, attributes in carried:
        same = [each for each in attributes if each.name == label.name]
        if not same:
            names = {each.name for each in attributes}
            has = ", ".join(sorted(names))
            remedy = nearest(label.name, names) or f"add it to the event, or remove the label; it has: {has}"
            problem = (
                f"label `{label.name}` of `{metric}` is no attribute of `{recording.event}`, which records it"
            )
            raise reference.error(problem, remedy)
        if same[0].constant is None:
            sources.add((same[0].source, same[0].measurement, same[0].scale))
    if len(sources) > 1:
        raise reference.error(
            f"label `{label.name}` of `{metric}` has several keys on the bus",
            "give it the same key in each event",
        )
    for source, measurement, scale in sources:
        return replace(label, source=source, measurement=measurement, scale=scale)
    return label


def _check_recording(
    metric: str, node: Node, recording: Recording, labels: set[str], attributes: tuple[Attribute, ...]
) -> None:
    """Raise if a recording reads what its event does not carry, or fills in a label that there is not."""
    keys = {
        _DURATION,
        *(each.source or each.name for each in attributes),
        *(each.name for each in attributes),
    }
    read = [("when", key) for key in recording.when]
    if recording.value:
        read.append(("value", recording.value))
    for part, key in read:
        if key not in keys:
            problem = f"`{part}` of a recording of `{metric}` is no attribute of `{recording.event}`: `{key}`"
            raise node[part].error(problem, nearest(key, keys) or f"it has: {', '.join(sorted(keys))}")
    for key in recording.defaults:
        if key not in labels:
            problem = f"`defaults` of a recording of `{metric}` names no label of it: `{key}`"
            raise node["defaults"].error(
                problem, nearest(key, labels) or f"it has: {', '.join(sorted(labels))}"
            )


def _with_constants(
    recording: Recording, labels: list[tuple[Node, Attribute]], attributes: tuple[Attribute, ...]
) -> Recording:
    """Return the recording with the labels that its event's name says rather than its metadata."""
    names = {label.name for _, label in labels}
    constants = {
        each.name: each.constant for each in attributes if each.constant is not None and each.name in names
    }
    return replace(recording, defaults={**constants, **recording.defaults}) if constants else recording


def _buckets(name: str, own: Node, instrument: str) -> tuple[float, ...]:
    bounds: list[float] = []
    for node in own.items("buckets"):
        node.expect(f"a bucket of `{name}`", float)
        if bounds and node.value <= bounds[-1]:
            raise node.error(f"the buckets of `{name}` do not rise at `{node.value}`", "sort them")
        bounds.append(float(node.value))
    if bounds and instrument != "histogram":
        raise own["buckets"].error(f"`{name}` is a {instrument} and has buckets", "only a histogram has them")
    return tuple(bounds)
