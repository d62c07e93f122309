"""The Go SDK of CDEvents accepts what the registry's rules send.

It checks more than the schemas do, by the tags of its structs and by validators of its own.
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

pytestmark = pytest.mark.slow

STANDARD = re.compile(r"dev\.cdevents\.[a-z]+\.[a-z]+\.\d+\.\d+\.\d+")
CUSTOM = re.compile(r"dev\.cdeventsx\.[a-z]+-[a-z]+\.[a-z]+\.\d+\.\d+\.\d+")
VALUES = {"int": 3, "double": 1.5, "boolean": True}


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
def test_the_go_sdk_accepts_what_each_rule_sends(refusal, name, kind):
    for document in SENT[name, kind]:
        reason = refusal(document)
        if (name, kind) in WITHOUT_ARTIFACT:
            assert "Field validation for 'ArtifactId' failed on the 'purl' tag" in reason
        else:
            assert not reason


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
        ({}, ""),
        ({"links": [{**LINK, "tags": {}}]}, ""),
        ({"links": [LINK]}, "tags': got null, want object"),
        ({"timestamp": "2026-01-01t00:00:00z"}, "parsing time"),
        ({"schemaUri": "https://example.org/schema"}, "could not be found in the local registry"),
        ({"type": "dev.cdeventsx.my2tool-thing.made.0.1.0"}, "cannot parse event type"),
        ({"type": "dev.cdeventsx.myTool-thing.made.0.1.0"}, "cannot parse event type"),
    ],
)
def test_the_schemas_accept_more_than_the_go_sdk(refusal, official, change, refused):
    document = {**EVENT, "context": {**EVENT["context"], **change}}
    assert official.accepts(document)
    reason = refusal(document)
    assert refused in reason
    assert bool(reason) == bool(refused), reason
