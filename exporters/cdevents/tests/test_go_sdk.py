"""What the registry's rules send passes the checks that the Go SDK of CDEvents makes beyond the schemas.

The Go module proxy does not serve `github.com/cdevents/sdk-go` here, so the tests do not run it. They state
what its struct tags and its custom validators (v0.5 types, commit 95df2b2) require:

- a type of lower-case letters, in each of its names;
- `tags` in each link, because the SDK writes a missing object as null and the schema rejects null;
- a time with upper-case T and Z;
- no `schemaUri`, because the consumer has to register each schema first;
- a package URL as `artifactId` of some types, also where the schema makes the member optional.
"""

from __future__ import annotations

import re

import pytest

from assay.exporters.cdevents import parse
from assay.exporters.cdevents._mapping import Mapper
from assay.exporters.cdevents._records import log_events
from assay.exporters.cdevents.errors import InvalidEvent
from assay.semconv import CATALOGUE

from .conftest import logs

STANDARD = re.compile(r"dev\.cdevents\.[a-z]+\.[a-z]+\.\d+\.\d+\.\d+")
CUSTOM = re.compile(r"dev\.cdeventsx\.[a-z]+-[a-z]+\.[a-z]+\.\d+\.\d+\.\d+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
PURL = re.compile(r"pkg:[A-Za-z][A-Za-z0-9.+-]*/\S+")
NEEDS_ARTIFACT = re.compile(
    r"dev\.cdevents\.(?:incident\.|build\.finished\.|service\.(?:deployed|upgraded|rolledback)\.)"
)
VALUES = {"int": 3, "double": 1.5, "boolean": True}


def refusals(document: dict) -> set[str]:
    """Return the reasons for which the Go SDK refuses an event that the schemas accept."""
    context = document["context"]
    artifact = document["subject"]["content"].get("artifactId", "")
    checks = {
        "type": STANDARD.fullmatch(context["type"]) or CUSTOM.fullmatch(context["type"]),
        "tags": all(isinstance(link.get("tags"), dict) for link in context.get("links", ())),
        "timestamp": TIME.fullmatch(context["timestamp"]),
        "schemaUri": "schemaUri" not in context,
        "artifactId": not NEEDS_ARTIFACT.match(context["type"]) or PURL.fullmatch(artifact),
    }
    return {name for name, holds in checks.items() if not holds}


def sent() -> dict[tuple[str, str], list[dict]]:
    """Return the valid events of each rule of the registry, by event and type."""
    mapper = Mapper(CATALOGUE, source="/{service.name}")
    found: dict[tuple[str, str], list[dict]] = {}
    for text in ("x", "a b/é", "https://h/ö?q=1#f"):
        for name, event in CATALOGUE.events.items():
            values = {each.key: VALUES.get(each.type, text) for each in event.attributes}
            [record] = log_events(logs((name, {**values, "assay.correlation_id": text})).request, received=1)
            for made in mapper.events(record):
                try:
                    parse(made.document)
                except InvalidEvent:
                    continue
                found.setdefault((name, made.document["context"]["type"]), []).append(made.document)
    return found


SENT = sent()
WITHOUT_ARTIFACT = {
    ("snakepit.worker.crash", "dev.cdevents.incident.detected.0.3.0"),
    ("snakepit.worker.restarted", "dev.cdevents.incident.resolved.0.3.0"),
}
"""The crash of a worker and its end concern no artifact."""


def test_the_registry_sends_standard_and_custom_types():
    types = {kind for _, kind in SENT}
    assert any(STANDARD.fullmatch(kind) for kind in types)
    assert any(CUSTOM.fullmatch(kind) for kind in types)
    assert SENT.keys() >= WITHOUT_ARTIFACT


@pytest.mark.parametrize(("name", "kind"), sorted(SENT))
def test_the_go_sdk_accepts_what_each_rule_sends(name, kind):
    expected = {"artifactId"} if (name, kind) in WITHOUT_ARTIFACT else set()
    for document in SENT[name, kind]:
        assert refusals(document) == expected


EVENT = {
    "context": {
        "specversion": "0.5.1", "id": "1", "source": "/a", "type": "dev.cdevents.taskrun.started.0.3.0",
        "timestamp": "2026-01-01T00:00:00Z",
    },
    "subject": {"id": "1", "content": {}},
}  # fmt: skip
LINK = {"linkType": "PATH", "from": {"contextId": "0"}}


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, set()),
        ({"links": [{**LINK, "tags": {}}]}, set()),
        ({"links": [LINK]}, {"tags"}),
        ({"timestamp": "2026-01-01t00:00:00z"}, {"timestamp"}),
        ({"schemaUri": "https://example.org/schema"}, {"schemaUri"}),
        ({"type": "dev.cdeventsx.my2tool-thing.made.0.1.0"}, {"type"}),
        ({"type": "dev.cdeventsx.myTool-thing.made.0.1.0"}, {"type"}),
    ],
)
def test_the_schemas_accept_more_than_the_go_sdk(official, change, refused):
    document = {**EVENT, "context": {**EVENT["context"], **change}}
    assert official.accepts(document)
    assert refusals(document) == refused
