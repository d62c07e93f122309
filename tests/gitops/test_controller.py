"""Everything that the API server, git and kopf have recorded of the example arrives at the far end, once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import ExitStack, closing

import pytest

from assay.cli._demo.workload.cluster import KINDS
from assay.cli._demo.workload.git_host import operations, reflog
from assay.exporters.audit import load_verifier, verify
from assay.instrumentation.testing import wait_until
from assay.semconv import CATALOGUE
from assay.semconv import attributes as keys

# A first run builds the API server.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

FIRST, SECOND = (
    f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: greeting}}
data: {{text: {text}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "example.org/web:{text}"}}]}}
"""
    for text in ("hello", "welcome")
)
MANIFESTS = {
    "torn": "kind: [ConfigMap",
    "invalid": "{apiVersion: v1, kind: Service, metadata: {name: invalid}, spec: {ports: [{port: 70000}]}}",
    "rival": "{apiVersion: v1, kind: ConfigMap, metadata: {name: rival}, data: {text: ours}}",
    "locked": "{apiVersion: v1, kind: ConfigMap, metadata: {name: locked}, data: {text: ours}}",
}
FAILURES = {
    "torn": ("parse_error", None),
    "invalid": ("apply_error", "validation"),
    "rival": ("apply_error", "conflict"),
    "locked": ("apply_error", "auth"),
    # Of a git server that does not answer at git://, GitPython passes git's exit code on, and no message.
    "shop": ("git_error", "git_error"),
}
"""Type and detail of the error of each repository's failed sync."""
STATUSES = {403: "auth", 409: "conflict", 422: "validation"}
ENDS = {"succeeded": "alumiini.sync_completed", "failed": "alumiini.sync_failed"}
DEPLOYMENTS = "dev.cdeventsx.alumiini-deployment"
HOURS = 3600.0  # until the first reconciliation: longer than the test


@pytest.fixture(scope="module")
def alerts():
    """Return the alerts that fire, by the state of the controller; the story finds them."""
    return {}


@pytest.fixture(scope="module")
def objectives():
    """Return the objectives that are met, by the state of the controller; the story finds them."""
    return {}


@pytest.fixture(scope="module")
def story(deployment, alerts, objectives):
    """Return the deployment after everything that can happen to its controller."""
    cluster, host, programs = deployment.cluster, deployment.host, deployment.programs
    shop = host.url("shop")
    commits = {"shop": host.commit("shop", {"shop.yaml": FIRST})}
    for name, manifest in MANIFESTS.items():
        commits[name] = host.commit(name, {f"{name}.yaml": manifest})
    with ExitStack() as stack:
        stack.enter_context(programs.receiver())
        controller = programs.start_controller(interval=HOURS)
        stack.callback(controller.wait)
        stack.callback(controller.kill)
        with host.serving():
            cluster.declare("shop", url=shop, targetNamespace="shop")
            cluster.wait_for_commit("shop", commits["shop"])
            _change_and_roll_back(deployment, shop, commits["shop"])
            deployment.wait_for_scrape(syncs=3)
            alerts["healthy"] = deployment.firing(syncs=3)
            objectives["healthy"] = deployment.met()
            _fail(deployment)
        # The git server is gone.
        assert programs.push(shop, "0" * 40) == 202
        deployment.wait_for_sync("shop", "failed")
        deployment.wait_for_scrape(syncs=3 + len(FAILURES))
        alerts["failing"] = deployment.firing(syncs=3 + len(FAILURES))
        objectives["failing"] = deployment.met()
        for name in MANIFESTS:
            cluster.remove(name)
        # Everything has left the controller before it is killed.
        stopped = deployment.reaches(lambda: (len(MANIFESTS), deployment.logged()["alumiini.worker_stopped"]))
        assert stopped == (len(MANIFESTS),) * 2
        assert_equal(deployment)
        controller.kill()
        controller.wait()
        with host.serving(), programs.controller(interval=2):
            deployment.wait_for_sync("shop", "succeeded", 4)
            _drift(deployment)
            cluster.remove("shop")
    return deployment


def _change_and_roll_back(deployment, shop, first):
    host, programs = deployment.host, deployment.programs
    second = host.commit("shop", {"shop.yaml": SECOND})
    assert programs.push(shop, second) == 202
    deployment.cluster.wait_for_commit("shop", second)
    host.reset("shop", first)
    assert programs.push(shop, first, secret="wrong") == 401
    assert programs.push(shop, first) == 202
    deployment.cluster.wait_for_commit("shop", first)


def _fail(deployment):
    cluster = deployment.cluster
    theirs = {"metadata": {"name": "rival"}, "data": {"text": "theirs"}}
    cluster.core.create_namespaced_config_map("shop", theirs, field_manager="somebody")
    for name in MANIFESTS:
        # The controller has no rights in the namespace `default`.
        target = "default" if name == "locked" else "shop"
        cluster.declare(name, url=deployment.host.url(name), targetNamespace=target, force=False)
        deployment.wait_for_sync(name, "failed")


def _drift(deployment):
    """Change and delete a resource by hand; the controller restores it."""
    cluster = deployment.cluster
    cluster.core.patch_namespaced_config_map("greeting", "shop", {"data": {"text": "by hand"}})
    wait_until(lambda: cluster.data_of("greeting") == {"text": "hello"}, timeout=120, interval=0.1)
    cluster.core.delete_namespaced_config_map("greeting", "shop")
    wait_until(lambda: cluster.data_of("greeting") == {"text": "hello"}, timeout=120, interval=0.1)


def applies(deployment):
    """The API server's audit log, and the events of applies."""
    recorded = Counter(
        (
            KINDS[about["resource"]],
            about["namespace"],
            about["name"],
            STATUSES.get(record["responseStatus"]["code"]),
        )
        for record in deployment.cluster.writes()
        for about in [record["objectRef"]]
    )
    arrived = Counter(
        (
            event[keys.ALUMIINI_RESOURCE_KIND],
            event[keys.K8S_NAMESPACE_NAME],
            event[keys.ALUMIINI_RESOURCE_NAME],
            event.get(keys.ERROR_TYPE),
        )
        for name in ("alumiini.apply_completed", "alumiini.apply_failed")
        for event in deployment.events(name)
    )
    return recorded, arrived


def applied_series(deployment):
    """The API server's audit log, and the series of applied resources."""
    found = deployment.series().by("alumiini_resources_applied_total", "resource_kind")
    return deployment.cluster.accepted(), found


def git_processes(deployment):
    """The processes that git has traced, and the series of operations."""
    found: Counter[tuple[str, str]] = Counter()
    for labels, value in deployment.series().samples.get("alumiini_git_operations_total", []):
        found[labels["operation"], labels["outcome"]] += round(value)
    return operations(deployment.traces), found


def git_spans(deployment):
    """The processes that git has traced, and the spans."""
    return operations(deployment.traces).total(), deployment.spans()["alumiini.git"]


def revisions(deployment):
    """The reflogs of the clones, and the events of clones and fetches."""
    entries = [
        entry.partition(":")[0].split()[0]
        for clone in deployment.programs.clones.iterdir()
        for entry in reflog(clone, "refs/remotes/origin/main")
    ]
    clones = len(list(deployment.programs.clones.iterdir()))
    logged = deployment.logged()
    return (clones, entries.count("fetch")), (logged["alumiini.git_cloned"], logged["alumiini.git_fetched"])


def syncs(deployment):
    """kopf's log, and the events of syncs."""
    recorded = Counter({(name, ENDS[end]): count for (name, end), count in deployment.syncs().items()})
    arrived = Counter(
        (event[keys.ALUMIINI_REPO_NAME], name) for name in ENDS.values() for event in deployment.events(name)
    )
    return recorded, arrived


def sync_series(deployment):
    """kopf's log, and the series of syncs."""
    found = deployment.series().by("alumiini_syncs_total", "outcome")
    ends = {"succeeded": "success", "failed": "failure"}
    recorded: Counter[str] = Counter()
    for (_, end), count in deployment.syncs().items():
        recorded[ends[end]] += count
    return recorded, found


def webhooks(deployment):
    """The receiver's answers, and the events of webhooks."""
    answers = deployment.programs.answers
    outcomes = Counter(
        event[keys.ALUMIINI_OUTCOME] for event in deployment.events("alumiini.webhook_received")
    )
    return Counter({"success": answers[202], "failure": answers[401]}), outcomes


def audit_records(deployment):
    """The log events that the registry audits, and the records of the audit log."""
    logged = deployment.logged()
    audited = [name for name, event in CATALOGUE.of("alumiini").events.items() if event.audit is not None]
    return Counter({name: logged[name] for name in audited if logged[name]}), deployment.audited()


def deployments(deployment):
    """The events of syncs, and the CDEvents of deployments."""
    logged, sent = deployment.logged(), deployment.cdevents()
    names = {"started": "sync_started", "finished": "sync_completed", "failed": "sync_failed"}
    return (
        {phase: logged[f"alumiini.{name}"] for phase, name in names.items()},
        {phase: sent[f"{DEPLOYMENTS}.{phase}"] for phase in names},
    )


COMPARISONS = (
    applies,
    applied_series,
    git_processes,
    git_spans,
    revisions,
    syncs,
    sync_series,
    webhooks,
    audit_records,
    deployments,
)


def assert_equal(deployment):
    for compared in COMPARISONS:
        recorded, arrived = deployment.reaches(lambda compared=compared: compared(deployment))
        assert recorded == arrived, compared.__doc__


@pytest.mark.parametrize("compared", COMPARISONS, ids=lambda each: each.__name__)
def test_what_arrives_is_what_was_recorded(story, compared):
    recorded, arrived = story.reaches(lambda: compared(story))
    assert recorded == arrived


def test_each_failure_has_its_type(story):
    failed = {
        event[keys.ALUMIINI_REPO_NAME]: (event[keys.ERROR_TYPE], event.get(keys.ALUMIINI_ERROR_DETAIL))
        for event in story.events("alumiini.sync_failed")
    }
    assert failed == FAILURES


def test_a_killed_controller_restarts_its_worker(story):
    ids = {
        name: sorted(event[keys.ALUMIINI_WORKER_ID] for event in story.events(f"alumiini.{name}"))
        for name in ("worker_started", "worker_stopped", "worker.restart")
    }
    once = [f"gitops/{name}/reconcile" for name in MANIFESTS]
    shop = "gitops/shop/reconcile"
    assert ids == {
        "worker_started": sorted([*once, shop, shop]),
        "worker_stopped": sorted([*once, shop]),  # the killed one could not report it
        "worker.restart": [shop],
    }


def test_syncs_have_the_trigger_that_caused_them(story):
    assert story.series().by("alumiini_syncs_total", "trigger").keys() == {"manual", "startup", "reconcile"}


def test_the_service_is_deployed_upgraded_and_rolled_back(story):
    sent = story.cdevents()
    assert [sent[f"dev.cdevents.service.{kind}"] for kind in ("deployed", "upgraded", "rolledback")] == [
        1,
        1,
        1,
    ]


def test_drift_by_hand_is_detected_and_corrected(story):
    """Once for the change, and once for the deletion."""
    greeting = {(keys.ALUMIINI_RESOURCE_KIND, "ConfigMap"), (keys.ALUMIINI_RESOURCE_NAME, "greeting")}
    for name in ("drift_detected", "drift_corrected"):
        found = [greeting <= event.items() for event in story.events(f"alumiini.{name}")]
        assert found == [True, True]
    sent = story.cdevents()
    assert [sent[f"dev.cdeventsx.alumiini-drift.{each}"] for each in ("detected", "corrected")] == [2, 2]


def test_alerts_fire_where_they_must_and_are_silent_on_a_healthy_run(story, alerts):
    assert alerts == {"healthy": set(), "failing": {"LowSyncSuccessRate"}}


def test_objectives_are_met_on_a_healthy_run_and_missed_when_syncs_fail(story, objectives):
    latencies = {f"{each} latency p99" for each in ("sync", "git fetch", "apply")}
    assert objectives["healthy"] >= {*latencies, "sync success rate", "worker restart rate"}
    assert "sync success rate" not in objectives["failing"]


def test_the_audit_log_names_the_sender_of_webhooks(story):
    with closing(sqlite3.connect(f"file:{story.folder.database}?mode=ro", uri=True)) as log:
        rows = log.execute(
            "SELECT DISTINCT client_ip, user_agent FROM flowstone_audit_log"
            " WHERE event_type = 'alumiini.webhook_received'"
        ).fetchall()
    assert rows == [("127.0.0.1", "GitHub-Hookshot/044aadd")]


def test_the_audit_log_verifies(story):
    verify(story.folder.database, load_verifier(story.folder.verifier_key))
