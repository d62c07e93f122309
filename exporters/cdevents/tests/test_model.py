"""The models and the official schemas accept and reject the same documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.exporters.cdevents import InvalidEvent, _model, _vocabulary, parse

PLAUSIBLE: list[Any] = [
    None, "", " ", "x", 0, 1.5, True, [], {}, ["x"], {"id": "x"}, {"id": ""}, {"contextId": "a"},
    "success", "error",
    "END", "PATH", "RELATION", "ticket", "high", "other", "manual", "unit",
    "https://example.org/a?b#c", "urn:x:y",
    "relative/path", "//host:80/x", "http://[::1]:8080/", "http://[::g]/", "1http://x", "a b",
    "%zz", "%20", "é", "#a#b",
    "2026-02-28T10:00:00Z", "2026-02-30T10:00:00Z", "2024-02-29t23:59:59.123456789+14:00",
    "2026-01-01T24:00:00Z",
    "2026-01-01T10:00:60Z", "2026-01-01 10:00:00Z", "2026-01-01T10:00:00", "2026-01-01",
    "0000-01-01T00:00:00Z",
    "dev.cdevents.taskrun.finished.0.3.0", "dev.cdevents.taskrun.finished.0.2.0", "dev.cdeventsx.a-b.c.0.1.0",
    "dev.cdeventsx.ab.c.0.1.0", "dev.cdeventsx.a-b.c.0.10.0", "dev.cdeventsx.a-b-c.d.0.1.0",
]  # fmt: skip
NAMES = [
    "extra", "id", "source", "type", "uri", "outcome", "errors", "environment", "customData",
    "customDataContentType",
    "chainId", "schemaUri", "links", "tags", "target", "from", "severity", "trigger", "content",
]  # fmt: skip
values = st.one_of(st.sampled_from(PLAUSIBLE), st.text(max_size=8))


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(found for key, member in members for found in paths(member, (*path, key)))]


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def mutate(document: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in paths(document) if path and path != ("context",)]))
    holder, key = at(document, path[:-1]), path[-1]
    change = data.draw(st.sampled_from(["drop", "replace", "add", "add"]))
    if change == "drop":
        del holder[key]
    elif change == "replace":
        holder[key] = copy.deepcopy(data.draw(values))
    else:
        inside = holder[key] if isinstance(holder[key], dict) else holder
        name = data.draw(st.sampled_from(NAMES))
        if isinstance(inside, dict):
            inside[name] = copy.deepcopy(data.draw(values))
        else:
            inside.append(copy.deepcopy(data.draw(values)))


def accepted(document: dict[str, Any]) -> bool:
    try:
        parse(document)
    except InvalidEvent:
        return False
    return True


def test_types_are_those_of_the_specification(official):
    assert set(_vocabulary.TYPES.values()) == set(official.types) | {
        f"dev.cdevents.{name}" for name in _vocabulary.DRAFT
    }


def test_every_conformance_event_is_accepted_and_round_trips(official):
    assert len(official.events) >= 45
    for event in official.events:
        assert official.accepts(event)
        assert parse(event).document() == event


def variants(event: dict[str, Any], path: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return the event without a member, and with a third of the plausible values in its place."""
    missing = copy.deepcopy(event)
    del at(missing, path[:-1])[path[-1]]
    found = [missing]
    for value in PLAUSIBLE[len(str(path)) % 3 :: 3]:
        changed = copy.deepcopy(event)
        at(changed, path[:-1])[path[-1]] = copy.deepcopy(value)
        found.append(changed)
    return found


@pytest.mark.slow
def test_each_member_is_required_and_typed_as_in_the_schema(official):
    compared = 0
    contexts = {
        "dev.cdeventsx.mytool-resource",
        "dev.cdevents.build.queued",
        "dev.cdevents.testoutput.published",
    }
    for event in official.events:
        whole_context = event["context"]["type"].rsplit(".", 3)[0] in contexts
        for path in paths(event)[2:]:
            if path == ("context", "type") or (path[0] == "context" and not whole_context):
                continue
            for variant in variants(event, path):
                assert accepted(variant) == official.accepts(variant), variant
                compared += 1
    assert compared > 3000


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_near_misses_are_accepted_or_rejected_alike(official, data):
    document = copy.deepcopy(data.draw(st.sampled_from(official.events)))
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(document, data)
        if not isinstance(document.get("context"), dict) or not isinstance(
            document["context"].get("type"), str
        ):
            assert not accepted(document)
            return
    assert accepted(document) == official.accepts(document)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_content_made_from_the_schema_is_accepted_or_rejected_alike(official, data):
    """Every member of a schema, present or not, with likely and unlikely values."""
    name = data.draw(st.sampled_from(sorted(official.types)))
    event = next(e for e in official.events if e["context"]["type"] == name)
    event = copy.deepcopy(event)
    members = official.types[name]["properties"]["subject"]["properties"]["content"]["properties"]
    for member in members:
        if data.draw(st.booleans()):
            event["subject"]["content"][member] = copy.deepcopy(data.draw(values))
    assert accepted(event) == official.accepts(event)


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"context": []}, {"context": {"type": 3}, "subject": {}}]
)
def test_a_document_that_is_not_an_event_has_faults(document):
    with pytest.raises(InvalidEvent) as caught:
        parse(document)
    assert caught.value.faults


def test_every_fault_is_reported_with_its_field():
    event = {
        "context": {
            "specversion": "0.5.1", "id": "1", "source": "/a",
            "type": "dev.cdevents.pipelinerun.finished.0.3.0",
            "timestamp": "today",
        },
        "subject": {"id": "r", "content": {"outcome": "great", "url": "x"}},
    }  # fmt: skip
    with pytest.raises(InvalidEvent) as caught:
        parse(event)
    assert [fault.field for fault in caught.value.faults] == [
        "context.timestamp", "subject.content.outcome", "subject.content.url",
    ]  # fmt: skip


def test_the_error_for_an_unknown_type_names_the_most_similar():
    with pytest.raises(InvalidEvent, match=r"did you mean 'dev.cdevents.taskrun.finished.0.3.0'"):
        parse({"context": {"type": "dev.cdevents.taskrun.finish.0.3.0"}, "subject": {}})


def test_the_table_has_the_members_of_each_schema_and_requires_the_same(official):
    for name, schema in official.types.items():
        content = schema["properties"]["subject"]["properties"]["content"]
        row = _vocabulary.EVENTS[name.removeprefix("dev.cdevents.")]
        assert {member.rstrip("!") for member in row} == set(content["properties"]), name
        assert {member[:-1] for member in row if member.endswith("!")} == set(content.get("required", ())), (
            name
        )


def test_models_of_custom_types_are_not_cached():
    """Senders choose these types, and there is no limit to their number."""
    for number in range(1000):
        event_type = f"dev.cdeventsx.tool-a{number}.done.0.1.0"
        assert _model.model_of(event_type) is _model.model_of(f"{event_type} ")
    assert _model._standard_model.cache_info().currsize <= len(_vocabulary.EVENTS)
