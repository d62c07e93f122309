"""The official schemas accept the registry's CDEvents."""

import json
import re

import jsonschema
import pytest

from assay.semconv import CATALOGUE

RULES = [
    pytest.param(event, rule, id=f"{event.name}-{rule.type}")
    for event in CATALOGUE.events.values()
    for rule in event.cdevents
    if not rule.draft
]


def _filled(template, event):
    if isinstance(template, dict):
        return {key: _filled(each, event) for key, each in template.items()}
    return re.sub(r"\{[^{}]*\}", "success" if "outcome}" in template else "x1", template)


@pytest.mark.parametrize(("event", "rule"), RULES)
def test_accepted(shared, event, rule):
    folder = shared / "cdevents" / "v0.5.1"
    if rule.type.startswith("dev.cdeventsx."):
        schema, type_ = json.loads((folder / "custom" / "schema.json").read_text()), rule.type
    else:
        schema = json.loads((folder / "schemas" / f"{rule.type.replace('.', '')}.json").read_text())
        type_ = schema["properties"]["context"]["properties"]["type"]["default"]
    del schema["properties"]["context"]["properties"]["links"]  # the schema of links is another file
    context = {
        "specversion": "0.5.1",
        "id": "1",
        "source": "/x",
        "type": type_,
        "timestamp": "2026-11-21T04:00:00Z",
    }
    sent = {
        "context": context,
        "subject": {"id": _filled(rule.subject, event), "content": _filled(dict(rule.content), event)},
    }
    jsonschema.validate(sent, schema)


def test_outcomes():
    def outcome(event):
        return CATALOGUE.events[event].cdevents[0].content["outcome"]

    assert outcome("flowstone.materialization.stop") == "success"
    assert outcome("flowstone.materialization.exception") == "failure"
    assert outcome("flowstone.run.stop") == "success"
    assert outcome("flowstone.run.exception") == "failure"
    assert outcome("flowstone.run.canceled") == "cancel"
