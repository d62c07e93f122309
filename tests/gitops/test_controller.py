"""Everything that the API server, git and kopf have recorded of the example arrives at the far end, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from assay.exporters.audit import load_verifier, verify
from assay.semconv import attributes as keys

from .comparisons import COMPARISONS
from .story import FAILURES, MANIFESTS, RESTARTS

# A first run builds the API server.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("compared", COMPARISONS, ids=lambda each: each.__name__)
def test_what_arrives_is_what_was_recorded(story, compared):
    recorded, arrived = story.deployment.reaches(lambda: compared(story.deployment))
    assert recorded == arrived


def test_each_failure_has_its_type(story):
    failed = {
        event[keys.ALUMIINI_REPO_NAME]: (event[keys.ERROR_TYPE], event.get(keys.ALUMIINI_ERROR_DETAIL))
        for event in story.deployment.events("alumiini.sync_failed")
    }
    assert failed == FAILURES


def test_a_killed_controller_restarts_its_worker(story):
    ids = {
        name: sorted(event[keys.ALUMIINI_WORKER_ID] for event in story.deployment.events(f"alumiini.{name}"))
        for name in ("worker_started", "worker_stopped", "worker.restart")
    }
    once = [f"gitops/{name}/reconcile" for name in ("slow", *MANIFESTS)]
    shop = "gitops/shop/reconcile"
    assert ids == {
        "worker_started": sorted([*once, shop, *[shop] * RESTARTS]),
        "worker_stopped": sorted([*once, shop]),  # the killed ones could not report it
        "worker.restart": [shop] * RESTARTS,
    }


def test_syncs_have_the_trigger_that_caused_them(story):
    assert story.deployment.series().by("alumiini_syncs_total", "trigger").keys() == {
        "manual",
        "startup",
        "reconcile",
    }


def test_the_service_is_deployed_upgraded_and_rolled_back(story):
    """The slow repository's service is deployed and upgraded too."""
    sent = story.deployment.cdevents()
    kinds = ("deployed", "upgraded", "rolledback")
    assert [sent[f"dev.cdevents.service.{kind}"] for kind in kinds] == [2, 2, 1]


def test_drift_by_hand_is_detected_and_corrected(story):
    """Once for the change, and once for the deletion."""
    greeting = {(keys.ALUMIINI_RESOURCE_KIND, "ConfigMap"), (keys.ALUMIINI_RESOURCE_NAME, "greeting")}
    for name in ("drift_detected", "drift_corrected"):
        found = [greeting <= event.items() for event in story.deployment.events(f"alumiini.{name}")]
        assert found == [True, True]
    sent = story.deployment.cdevents()
    assert [sent[f"dev.cdeventsx.alumiini-drift.{each}"] for each in ("detected", "corrected")] == [2, 2]


def test_the_audit_log_names_the_sender_of_webhooks(story):
    with closing(sqlite3.connect(f"file:{story.deployment.folder.database}?mode=ro", uri=True)) as log:
        rows = log.execute(
            "SELECT DISTINCT client_ip, user_agent FROM flowstone_audit_log"
            " WHERE event_type = 'alumiini.webhook_received'"
        ).fetchall()
    assert rows == [("127.0.0.1", "GitHub-Hookshot/044aadd")]


def test_the_audit_log_verifies(story):
    verify(story.deployment.folder.database, load_verifier(story.deployment.folder.verifier_key))
