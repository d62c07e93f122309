"""Each event, span and series of the registry, as the typed API makes an SDK export it."""

import asyncio
import json
from functools import lru_cache
from importlib.metadata import version

import pytest
from opentelemetry.instrumentation.alumiini import (
    AlumiiniEvent,
    Repository,
    _scope,
    apply,
    cache_access,
    drift_corrected,
    drift_detected,
    error,
    git_operation,
    git_operation_ended,
    sync,
    webhook_received,
    worker_restarted,
    worker_started,
    worker_stopped,
    workers_active,
)
from opentelemetry.instrumentation.alumiini.functools_caches import FunctoolsInstrumentor
from opentelemetry.trace import StatusCode

from assay.semconv import CATALOGUE

ALUMIINI = CATALOGUE.of("alumiini")
ENVELOPE_ON_LOGS = {
    "alumiini.event.id",
    "alumiini.repo.name",
    "k8s.namespace.name",
    "alumiini.cluster_id",
    "alumiini.sync.trigger",
    "alumiini.outcome",
}
REQUIRED_FIELDS = (
    *("id", "timestamp", "type", "severity", "outcome", "repo_name", "namespace", "cluster_id", "trigger"),
)
OPTIONAL_FIELDS = (
    *("commit", "branch", "resources_applied", "duration_ms", "error_type", "error_message", "attributes"),
)
REPOSITORY = Repository(
    "my-app", "https://bob:s3cret@git.example/org/my-app.git", "main", "abc123", "deploy/", "my-app-rollout"
)


def conflict(applied):
    applied.explain("conflict")
    raise OSError("409")


def fetch_in_vain():
    with git_operation("fetch"):
        raise OSError("gone")


def fetch_or_try_later():
    try:
        fetch_in_vain()
    except OSError as gone:
        raise RuntimeError("try later") from gone


def use_a_named_cache():
    cached = lru_cache(str)
    FunctoolsInstrumentor().instrument(caches={"manifests": cached})
    cached(1)
    FunctoolsInstrumentor().uninstrument()  # emits what was counted


def use_the_whole_api():
    worker_started("my-app/0", repository=REPOSITORY)
    workers_active(1, memory_bytes=50_000_000)
    worker_restarted("my-app/0", repository=REPOSITORY)
    webhook_received("github", repository=REPOSITORY)
    with sync(REPOSITORY, trigger="webhook", namespace="prod", cluster_id="prod-us-east"):
        with git_operation("clone") as clone:
            clone.cloned()
        with git_operation("fetch") as fetch:
            fetch.fetched(commit="def456")
        cache_access("commits", hit=True)
        cache_access("commits", hit=False)
        use_a_named_cache()
        drift_detected("Deployment", "web")
        with apply("Deployment", "web"):
            pass
        drift_corrected("Deployment", "web")
    with pytest.raises(OSError, match="409"), sync(REPOSITORY, trigger="poll"), apply("Service") as failed:
        conflict(failed)
    worker_stopped("my-app/0", repository=REPOSITORY)


@pytest.fixture
def used(telemetry):
    """Return the telemetry of one use of each function."""
    use_the_whole_api()
    return telemetry


@pytest.mark.parametrize("name", ALUMIINI.spans)
def test_each_span_of_the_registry_is_exported(used, name):
    assert used.spans(name)


@pytest.mark.parametrize("name", ALUMIINI.events)
def test_each_event_of_the_registry_is_exported_with_its_envelope(used, name):
    record = used.logs(name)[0].log_record
    known = {each.key for each in ALUMIINI.events[name].attributes}
    assert known & record.attributes.keys()
    assert (ENVELOPE_ON_LOGS & known) <= record.attributes.keys()
    assert record.attributes.get("alumiini.repo.name", "my-app") == "my-app"


@pytest.mark.parametrize("name", ALUMIINI.metrics)
def test_each_metric_of_the_registry_has_points_with_all_its_labels(used, name):
    points = used.points(name)
    assert points
    labels = {each.name for each in ALUMIINI.metrics[name].labels}
    assert all(set(point.attributes) == labels for point in points)


@pytest.mark.parametrize("name", [name for name, event in ALUMIINI.events.items() if event.cdevents])
def test_events_that_become_cdevents_have_what_these_are_made_of(used, name):
    found = used.logs(name)[0].log_record.attributes
    assert found["alumiini.repo.name"] == "my-app"
    assert found["alumiini.repo.url"] == "https://git.example/org/my-app.git"


def test_a_sync_is_one_trace_and_its_events_are_about_its_repository(telemetry):
    with (
        sync(REPOSITORY, trigger="webhook", namespace="prod", cluster_id="c-1"),
        git_operation("fetch") as fetch,
    ):
        fetch.fetched(commit="def456")

    by_name = {span.name: span for span in telemetry.spans()}
    outer, inner = by_name["alumiini.sync"], by_name["alumiini.git"]
    assert inner.parent.span_id == outer.context.span_id
    for found in (outer, inner):
        assert found.attributes["alumiini.repo.url"] == "https://git.example/org/my-app.git"
        assert found.attributes["vcs.repository.url.full"] == "https://git.example/org/my-app.git"
        assert found.attributes["vcs.repository.name"] == "my-app"
        assert found.attributes["vcs.ref.head.name"] == "main"
        assert found.attributes["vcs.ref.head.revision"] == "def456"
        assert found.attributes["alumiini.repo.path"] == "deploy/"
    (fetched,) = telemetry.logs("alumiini.git_fetched")
    (completed,) = telemetry.logs("alumiini.sync_completed")
    assert fetched.log_record.span_id == inner.context.span_id
    assert completed.log_record.span_id == outer.context.span_id
    assert completed.log_record.attributes["alumiini.repo.commit"] == "def456"
    assert completed.log_record.attributes["alumiini.rollout_ref"] == "my-app-rollout"
    assert completed.log_record.attributes["k8s.namespace.name"] == "prod"
    assert completed.log_record.attributes["alumiini.sync.resources_applied"] == 0
    assert (
        completed.log_record.attributes["log.record.uid"]
        == completed.log_record.attributes["alumiini.event.id"]
    )


def test_a_failure_of_git_is_the_sync_s_git_error_and_counted_once_by_its_finer_type(telemetry):
    with pytest.raises(OSError, match="slow"), sync("my-app", trigger="poll"), git_operation("fetch"):
        raise TimeoutError("slow")

    assert telemetry.totals("alumiini.errors", "error_type") == {"git_timeout": 1}
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"timeout": 1}
    assert telemetry.totals("alumiini.syncs", "outcome") == {"timeout": 1}
    (failed,) = telemetry.logs("alumiini.sync_failed")
    assert failed.log_record.attributes["error.type"] == "git_error"
    assert failed.log_record.attributes["alumiini.error.detail"] == "git_timeout"
    assert failed.log_record.severity_text == "ERROR"
    (outer,) = telemetry.spans("alumiini.sync")
    assert outer.status.status_code is StatusCode.ERROR
    assert outer.attributes["error.type"] == "git_error"


def test_the_cause_of_an_exception_decides_too(telemetry):
    with pytest.raises(RuntimeError), sync("my-app"):
        fetch_or_try_later()

    (failed,) = telemetry.logs("alumiini.sync_failed")
    assert failed.log_record.attributes["error.type"] == "git_error"
    assert telemetry.totals("alumiini.errors", "error_type") == {"git_error": 1}


def test_a_manifest_that_cannot_be_parsed_is_a_parse_error(telemetry):
    with pytest.raises(ValueError, match="Expecting"), sync("my-app"):
        json.loads("{")

    assert telemetry.totals("alumiini.errors", "error_type") == {"parse_error": 1}
    (failed,) = telemetry.logs("alumiini.sync_failed")
    assert failed.log_record.attributes["error.type"] == "parse_error"


def test_an_error_that_the_controller_handles_does_not_fail_the_sync(telemetry):
    with sync("my-app"), pytest.raises(OSError, match="gone"):
        fetch_in_vain()

    assert telemetry.totals("alumiini.syncs", "outcome") == {"success": 1}
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"failure": 1}
    assert telemetry.logs("alumiini.sync_failed") == []


def test_a_sync_and_an_apply_can_fail_without_an_exception(telemetry):
    with sync("my-app") as running, apply("Service", "web") as applied:
        applied.fail("the object has been modified", "conflict")
        running.fail("no manifests", "parse_error")

    assert telemetry.totals("alumiini.syncs", "outcome") == {"failure": 1}
    (failed,) = telemetry.logs("alumiini.apply_failed")
    assert failed.log_record.attributes["error.type"] == "conflict"
    assert telemetry.points("alumiini.resources.applied") == []


def test_applies_are_counted_by_kind_and_in_their_sync(telemetry):
    with sync("my-app"):
        with apply("Service", "web"):
            pass
        with apply("List") as applied:
            applied.applied(3)

    assert telemetry.totals("alumiini.resources.applied", "resource_kind") == {"Service": 1, "List": 3}
    (span,) = telemetry.spans("alumiini.sync")
    assert span.attributes["alumiini.sync.resources_applied"] == 4


def test_a_cancelled_sync_has_an_unknown_outcome(telemetry):
    async def cancelled():
        with sync("my-app"):
            await asyncio.sleep(60)

    async def main():
        task = asyncio.ensure_future(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert telemetry.totals("alumiini.syncs", "outcome") == {"unknown": 1}


def test_syncs_of_concurrent_tasks_keep_apart(telemetry):
    async def one(name):
        with sync(name):
            await asyncio.sleep(0)
            drift_detected("Service", name)
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(one(f"app-{number}") for number in range(5)))

    asyncio.run(main())
    drifts = [record.log_record.attributes for record in telemetry.logs("alumiini.drift_detected")]
    assert {(each["alumiini.repo.name"], each["alumiini.resource.name"]) for each in drifts} == {
        (f"app-{number}", f"app-{number}") for number in range(5)
    }


@pytest.fixture
def resource_attributes(monkeypatch):
    """Return a function that sets OTEL_RESOURCE_ATTRIBUTES as if the process had been started with it."""

    def start_with(value):
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", value)
        _scope.of_process.cache_clear()

    yield start_with
    _scope.of_process.cache_clear()


def test_outside_of_a_sync_the_required_fields_are_those_of_the_process(telemetry, resource_attributes):
    resource_attributes("k8s.namespace.name=flux,k8s.cluster.name=prod%20eu")
    AlumiiniEvent("worker_started").emit()
    resource_attributes("")
    AlumiiniEvent("worker_started", "my-app").emit()

    first, second = (each.log_record.attributes for each in telemetry.logs("alumiini.worker_started"))
    assert (first["k8s.namespace.name"], first["alumiini.cluster_id"]) == ("flux", "prod eu")
    assert (first["alumiini.repo.name"], first["alumiini.sync.trigger"]) == ("unknown", "manual")
    assert (second["k8s.namespace.name"], second["alumiini.repo.name"]) == ("unknown", "my-app")


@pytest.mark.parametrize("wrong", [{"trigger": "cron"}, {"outcome": "ok"}, {"type": "sync_begun"}])
def test_values_outside_of_the_vocabulary_are_rejected(wrong):
    with pytest.raises(ValueError, match="is not one of"):
        AlumiiniEvent(**{"type": "sync_started", **wrong})


def test_the_envelope_has_the_seed_s_fields():
    event = AlumiiniEvent("sync_failed")
    assert all(getattr(event, name) for name in REQUIRED_FIELDS)
    assert all(hasattr(event, name) for name in OPTIONAL_FIELDS)
    assert event.severity == "error"


def test_severities_are_the_registry_s():
    for name, event in ALUMIINI.events.items():
        kind = name.removeprefix("alumiini.")
        if "." not in kind and kind != "error":
            assert AlumiiniEvent(kind).severity == event.severity


def test_an_operation_that_ran_beside_the_program_is_a_span_of_its_length(telemetry):
    git_operation_ended("fetch", REPOSITORY, duration_ns=5_000_000)
    git_operation_ended("push", REPOSITORY, duration_ns=1, error=OSError("no"), detail="git_conflict")

    first, second = telemetry.spans("alumiini.git")
    assert first.end_time - first.start_time == 5_000_000
    assert second.attributes["error.type"] == "git_conflict"
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"success": 1, "failure": 1}


def test_an_error_is_counted_by_repository_and_type(telemetry):
    error("cache_corrupt", "bad index", repository="my-app")

    (point,) = telemetry.points("alumiini.errors")
    assert dict(point.attributes) == {"repo_name": "my-app", "error_type": "cache_corrupt"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://bob:s3cret@git.example/o/r.git", "https://git.example/o/r.git"),
        ("https://mytoken@git.example:8443/o/r?private_token=x#y", "https://git.example:8443/o/r"),
        ("ssh://git:pw@git.example/o/r.git", "ssh://git@git.example/o/r.git"),
        ("git@git.example:o/r.git", "git@git.example:o/r.git"),
        ("git:pw@git.example:o/r.git", "git@git.example:o/r.git"),
        ("/srv/git/r.git", "/srv/git/r.git"),
        ("file:///srv/git/r.git", "file:///srv/git/r.git"),
        ("C:\\repos\\r", "C:\\repos\\r"),
    ],
)
def test_urls_lose_their_credentials(url, expected):
    assert Repository("r", url).url == expected


def test_the_scope_is_this_package(telemetry):
    with sync("my-app"):
        pass

    (span,) = telemetry.spans()
    scope = span.instrumentation_scope
    assert scope.name == "opentelemetry.instrumentation.alumiini"
    assert scope.version == version("opentelemetry-instrumentation-alumiini")
