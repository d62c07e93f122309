"""Comparisons of the records of the API server, git and kopf with the data that has arrived."""

from __future__ import annotations

from collections import Counter

from assay.cli._demo.workload.cluster import KINDS
from assay.cli._demo.workload.git_host import operations, reflog
from assay.semconv import CATALOGUE
from assay.semconv import attributes as keys

STATUSES = {403: "auth", 409: "conflict", 422: "validation"}
ENDS = {"succeeded": "alumiini.sync_completed", "failed": "alumiini.sync_failed"}
DEPLOYMENTS = "dev.cdeventsx.alumiini-deployment"


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
