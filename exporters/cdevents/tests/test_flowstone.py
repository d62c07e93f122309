"""The rules of FlowStone's part of the registry produce events that the official schemas accept."""

from __future__ import annotations

import pytest

from assay.exporters.cdevents import parse
from assay.exporters.cdevents._mapping import Mapper
from assay.exporters.cdevents._records import log_events
from assay.semconv import CATALOGUE

from .conftest import logs

EVENTS = sorted(
    name for name, event in CATALOGUE.events.items() if name.startswith("flowstone.") and event.cdevents
)
VALUES = {"int": 3, "double": 1.5, "boolean": True}


def attributes(name: str) -> dict:
    values = {
        attribute.key: VALUES.get(attribute.type, "a b/é") for attribute in CATALOGUE.events[name].attributes
    }
    return {**values, "assay.correlation_id": "c"}


def mapped(name: str, values: dict) -> list[dict]:
    mapper = Mapper(CATALOGUE, source="/{service.name}")
    [record] = log_events(logs((name, values)).request, received=1)
    return [event.document for event in mapper.events(record)]


def test_every_event_of_the_design_has_a_rule():
    assert EVENTS == [
        "flowstone.checkpoint.approved",
        "flowstone.checkpoint.rejected",
        "flowstone.checkpoint.requested",
        "flowstone.checkpoint.timeout",
        "flowstone.materialization.canceled",
        "flowstone.materialization.exception",
        "flowstone.materialization.skipped",
        "flowstone.materialization.start",
        "flowstone.materialization.stop",
        "flowstone.run.canceled",
        "flowstone.run.exception",
        "flowstone.run.queued",
        "flowstone.run.start",
        "flowstone.run.stop",
    ]


@pytest.mark.parametrize("name", EVENTS)
def test_each_rule_produces_a_valid_event(official, name):
    documents = mapped(name, attributes(name))
    assert len(documents) == 1
    assert official.accepts(documents[0])
    assert documents[0]["context"]["chainId"]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("flowstone.materialization.stop", "success"),
        ("flowstone.materialization.exception", "failure"),
        ("flowstone.run.stop", "success"),
        ("flowstone.run.exception", "failure"),
        ("flowstone.run.canceled", "cancel"),
    ],
)
def test_an_end_has_an_outcome_and_a_failure_an_error(name, outcome):
    [document] = mapped(name, {**attributes(name), "assay.error.message": "disk on fire"})
    content = document["subject"]["content"]
    assert content["outcome"] == outcome
    assert content.get("errors") == ("disk on fire" if outcome == "failure" else None)


def test_each_partition_of_an_asset_is_a_task_of_its_own():
    name = "flowstone.materialization.start"
    values = {"flowstone.run_id": "r", "flowstone.asset": "orders", "assay.correlation_id": "r"}
    subjects = [
        mapped(name, values | partition)[0]["subject"]["id"]
        for partition in ({}, {"flowstone.partition": "east"}, {"flowstone.partition": "west"})
    ]
    assert subjects == ["r/orders", "r/orders/east", "r/orders/west"]


def test_the_whole_registry_can_be_mapped():
    Mapper(CATALOGUE, source="/x", draft_types=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flowstone.checkpoint.requested", "dev.cdevents.approval.created.0.1.0"),
        ("flowstone.checkpoint.approved", "dev.cdevents.approval.closed.0.1.0"),
        ("flowstone.checkpoint.rejected", "dev.cdevents.approval.closed.0.1.0"),
    ],
)
def test_with_draft_types_a_decision_is_also_an_approval(name, kind):
    mapper = Mapper(CATALOGUE, source="/{service.name}", draft_types=True)
    values = {**attributes(name), "flowstone.actor": "ines@example.com"}
    [record] = log_events(logs((name, values)).request, received=1)
    documents = [event.document for event in mapper.events(record)]
    [draft] = [document for document in documents if document["context"]["type"] == kind]
    assert parse(draft)
    assert draft["context"]["specversion"] == "0.6.0-draft"
    assert {document["context"]["specversion"] for document in documents if document is not draft} <= {
        "0.5.1"
    }
