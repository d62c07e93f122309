"""Checks the form of a registry file: the tables of `definition/2`, and those of Assay's annotations.

The first half is OpenTelemetry's semantic-convention definition language, version 2. The second half is what
Assay adds under `annotations: {assay: …}`, where that language leaves room.
"""

from __future__ import annotations

from typing import get_args

from assay.semconv._document import Field, Node
from assay.semconv.catalogue import Instrument, Severity, SpanKind

FILE_FORMAT = "definition/2"
_ANY = (str, int, float, bool, list, dict, type(None))
_TEXT = Field((str,))
_LIST = Field((list,))
_BOOL = Field((bool,))
_NUMBER = Field((float,))
_MAPPING = Field((dict,))
_KEY = Field((str,), required=True)
_STABILITY = Field((str,), True, ("stable", "development", "alpha", "beta", "release_candidate"))
_TYPES = ("string", "int", "double", "boolean", "string[]", "int[]", "double[]", "boolean[]", "any")

_DESCRIBED = {
    "brief": _KEY,
    "note": _TEXT,
    "stability": _STABILITY,
    "deprecated": _MAPPING,
    "annotations": _MAPPING,
}
_SIGNAL = {**_DESCRIBED, "attributes": _LIST, "entity_associations": _LIST, "requirement_level": _TEXT}

SECTIONS: dict[str, tuple[str, dict[str, Field]]] = {
    "attributes": (
        "key",
        {"key": _KEY, "type": Field((str, dict), required=True), "examples": Field(_ANY), **_DESCRIBED},
    ),
    "attribute_groups": (
        "id",
        {
            **_DESCRIBED,
            "id": _KEY,
            "visibility": Field((str,), True, ("internal", "public")),
            "attributes": _LIST,
            "brief": _TEXT,
            "stability": Field((str,), False, _STABILITY.choices),
        },
    ),
    "entities": (
        "type",
        {
            **_DESCRIBED,
            "type": _KEY,
            "identity": Field((list,), required=True),
            "description": _LIST,
            "requirement_level": _TEXT,
        },
    ),
    "events": ("name", {"name": _KEY, **_SIGNAL}),
    "metrics": (
        "name",
        {"name": _KEY, "instrument": Field((str,), True, get_args(Instrument)), "unit": _KEY, **_SIGNAL},
    ),
    "spans": (
        "type",
        {
            "type": _KEY,
            "kind": Field((str,), True, get_args(SpanKind)),
            "name": Field((dict,), required=True),
            **_SIGNAL,
        },
    ),
}
_UNREAD = ("imports", "entity_refinements", "event_refinements", "metric_refinements", "span_refinements")
_TOP = {
    "file_format": Field((str,)),
    **dict.fromkeys(SECTIONS, _LIST),
    **dict.fromkeys(_UNREAD, Field(_ANY)),
}
_REFERENCE = {
    "ref": _TEXT,
    "ref_group": _TEXT,
    "brief": _TEXT,
    "note": _TEXT,
    "examples": Field(_ANY),
    "annotations": _MAPPING,
    "stability": Field((str,), False, _STABILITY.choices),
    "deprecated": _MAPPING,
    "requirement_level": Field((str, dict)),
    "sampling_relevant": _BOOL,
}

# From here on: the content of `annotations: {assay: …}`.
_VALUE = {
    "name": _TEXT,
    "source": _TEXT,
    "scale": _NUMBER,
    "measurement": _BOOL,
    "also": _LIST,
    "type": Field((str,), False, _TYPES),
}
AUDIT = {
    "action": _KEY,
    "outcome": _KEY,
    "target_type": _KEY,
    "target": _KEY,
    "actor": _TEXT,
    "actor_type": Field((str,), False, ("user", "service", "system", "{actor_type}")),
}
CDEVENT = {
    "type": _KEY,
    "subject": _KEY,
    "content": _MAPPING,
    "when": _MAPPING,
    "draft": _BOOL,
    "chain": _TEXT,
    "legacy": _TEXT,
}
TOPIC = {"topic": _KEY, "message": _TEXT, "payload": _LIST, "constants": _MAPPING}
RECORD = {
    "event": _KEY,
    "value": _TEXT,
    "scale": _NUMBER,
    "defaults": _MAPPING,
    "when": _MAPPING,
}
PHASES = {"start": _TEXT, "stops": _LIST, "exceptions": _LIST}
ANNOTATIONS: dict[str, dict[str, Field]] = {
    "attributes": _VALUE,
    "reference": {
        **_VALUE,
        "constant": Field((str, int, float, bool)),
        "phase": Field((str,), False, ("start", "end")),
        "by_phase": _MAPPING,
    },
    "attribute_groups": dict.fromkeys(
        (
            "actor_defaults",
            "alerts",
            "audit_log",
            "callbacks",
            "controls",
            "counting",
            "dashboard",
            "errors",
            "event_bus",
            "event_envelope",
            "event_envelope_required",
            "health",
            "integrations",
            "logs",
            "outcomes",
            "presence",
            "real_sources",
            "redaction",
            "role",
            "severities",
            "slos",
            "topics",
            "triggers",
        ),
        Field(_ANY),
    ),
    "entities": {},
    "events": {
        "severity": Field((str,), False, get_args(Severity)),
        "body": _TEXT,
        "log": _TEXT,
        "when": _MAPPING,
        "audit": _MAPPING,
        "topics": _LIST,
        "cdevents": _LIST,
        "subtypes": _LIST,
    },
    "metrics": {
        "series": _TEXT,
        "buckets": _LIST,
        "labels": Field((str,), False, ("keys",)),
        "record": _LIST,
    },
    "spans": {"name": _TEXT, "phases": _MAPPING, "cdevents": _LIST},
}


def check(document: Node) -> None:
    """Check that a file has the form of `definition/2` with Assay's annotations.

    Raises:
        RegistryError: It does not; the message names the first line that is wrong.
    """
    _check_format(document)
    document.check("the file", _TOP)
    for section, (name, fields) in SECTIONS.items():
        for definition in document.items(section):
            definition.expect(f"an element of `{section}`", dict)
            label = f"`{definition.get(name, '?')}`"
            definition.check(label, fields)
            _check_annotations(definition, label, section)
            for part in ("attributes", "identity", "description"):
                for reference in definition.items(part):
                    _check_reference(reference, label)
            if section == "attributes":
                _check_type(definition, label)


def assay_annotations(node: Node) -> Node:
    """Return the mapping under `annotations: {assay: …}`; an empty one if it is absent."""
    if "annotations" in node and "assay" in node["annotations"]:
        return node["annotations"]["assay"]
    return Node({}, node.path, node.line)


def _check_format(document: Node) -> None:
    if "file_format" not in document:
        raise document.error("the file has no `file_format`", f"start it with `file_format: {FILE_FORMAT}`")
    if document["file_format"].value != FILE_FORMAT:
        found = document["file_format"]
        raise found.error(f"`file_format` is `{found.value}`", f"only `{FILE_FORMAT}` is supported")


def _check_reference(reference: Node, label: str) -> None:
    reference.check(f"an attribute of {label}", _REFERENCE)
    if ("ref" in reference) == ("ref_group" in reference):
        raise reference.error(f"an attribute of {label} has no `ref`", "name one attribute with `ref:`")
    _check_annotations(reference, f"`{reference.get('ref')}` in {label}", "reference")


def _check_annotations(node: Node, label: str, section: str) -> None:
    if "annotations" in node:
        assay_annotations(node).check(f"the annotations of {label}", ANNOTATIONS[section])


def _check_type(definition: Node, label: str) -> None:
    kind = definition["type"]
    if isinstance(kind.value, str):
        if kind.value not in _TYPES and not kind.value.startswith("template["):
            raise kind.error(
                f"`type` of {label} is unknown: `{kind.value}`", f"it is one of: {', '.join(_TYPES)}"
            )
        return
    kind.check(f"`type` of {label}", {"members": Field((list,), required=True)})
    if not kind["members"].value:
        raise kind.error(f"`type` of {label} has no members", "add one, or write `type: string`")
    for member in kind.items("members"):
        member.check(
            f"a member of {label}",
            {**_DESCRIBED, "id": _KEY, "value": Field((str, int, bool), required=True), "brief": _TEXT},
        )
