"""kopf operators against a real API server."""

import asyncio
import contextlib
import threading
from itertools import count
from types import SimpleNamespace

import kopf
import kubernetes
import pytest
from opentelemetry.instrumentation.alumiini import git_operation
from opentelemetry.instrumentation.alumiini.kopf import KopfInstrumentor

from assay.instrumentation.testing import CertificateAuthority, wait_until

GROUP, PLURAL = "gitops.example.org", "repositories"
WEBHOOKS = "webhooks.gitops.example.org"
URL = "https://bob:s3cret@git.example/org/shop.git"
SPEC = {
    "url": URL,
    "branch": "main",
    "path": "deploy/",
    "rolloutRef": {"name": "shop-rollout"},
    "targetNamespace": "prod",
}

# A first run builds the API server.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def definition(group, plural, kind):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [version],
        },
    }


@pytest.fixture(scope="session")
def objects(api_server):
    """Return the API of custom objects, with the kinds that the tests need."""
    found = kubernetes.client.Configuration()
    found.host, found.ssl_ca_cert = api_server.url, str(api_server.certificate)
    bearer = f"Bearer {api_server.tokens['admin']}"
    found.api_key = {"authorization": bearer, "BearerToken": bearer}
    with kubernetes.client.ApiClient(found) as client:
        extensions = kubernetes.client.ApiextensionsV1Api(client)
        custom = kubernetes.client.CustomObjectsApi(client)
        for group, plural, kind in (
            (GROUP, PLURAL, "Repository"),
            ("kopf.dev", "kopfpeerings", "KopfPeering"),
        ):
            extensions.create_custom_resource_definition(definition(group, plural, kind))
            wait_until(lambda group=group, plural=plural: is_served(custom, group, plural))
        yield custom


def is_served(custom, group, plural):
    try:
        custom.list_namespaced_custom_object(group, "v1", "default", plural)
    except kubernetes.client.exceptions.ApiException:
        return False
    return True


@pytest.fixture
def observed(telemetry):
    """Return the telemetry, with kopf instrumented."""
    KopfInstrumentor().instrument()
    yield telemetry
    KopfInstrumentor().uninstrument()


@pytest.fixture
def repository(objects, request):
    """Return an object that names a repository, and that no other test uses."""
    name = f"r{abs(hash(request.node.nodeid)):x}"
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Repository", "metadata": {"name": name}, "spec": SPEC}

    def change(spec):
        objects.patch_namespaced_custom_object(GROUP, "v1", "default", PLURAL, name, {"spec": spec})

    def delete():
        objects.delete_namespaced_custom_object(GROUP, "v1", "default", PLURAL, name)

    objects.create_namespaced_custom_object(GROUP, "v1", "default", PLURAL, body)
    yield SimpleNamespace(name=name, change=change, delete=delete)
    # Without an operator nobody removes kopf's finalizer.
    free = {"metadata": {"finalizers": []}}
    if name in names(objects):
        objects.patch_namespaced_custom_object(GROUP, "v1", "default", PLURAL, name, free)
        delete()


def names(objects):
    found = objects.list_namespaced_custom_object(GROUP, "v1", "default", PLURAL)["items"]
    return [each["metadata"]["name"] for each in found]


class Operator:
    """A kopf operator in a thread; a context manager."""

    def __init__(self, api_server, **options):
        self.registry = kopf.OperatorRegistry()
        self._options = {"standalone": True, **options}
        self._stop, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

        @kopf.on.login(registry=self.registry)
        def login(**_):
            return kopf.ConnectionInfo(
                server=api_server.url, ca_path=str(api_server.certificate), token=api_server.tokens["admin"]
            )

        @kopf.on.startup(registry=self.registry)
        def configure(settings, **_):
            settings.posting.enabled = False

    def _run(self):
        asyncio.run(
            kopf.operator(
                registry=self.registry,
                namespaces=["default"],
                ready_flag=self._ready,
                stop_flag=self._stop,
                **self._options,
            )
        )

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)


@pytest.fixture
def operator(api_server):
    """Return an operator that is not started yet."""
    return Operator(api_server)


def logged(telemetry, event, repository):
    found = (record.log_record.attributes for record in telemetry.logs(event))
    return [each for each in found if each["alumiini.repo.name"] == repository.name]


def test_handlers_are_syncs_with_their_trigger(observed, operator, repository):
    @kopf.on.create(GROUP, PLURAL, registry=operator.registry)
    @kopf.on.update(GROUP, PLURAL, registry=operator.registry)
    async def sync(**_):
        with git_operation("fetch") as fetch:
            fetch.fetched(commit="abc123")

    with operator:
        wait_until(lambda: logged(observed, "alumiini.sync_completed", repository))
        repository.change({"branch": "next"})
        wait_until(lambda: len(logged(observed, "alumiini.sync_completed", repository)) == 2)

    first, second = logged(observed, "alumiini.sync_completed", repository)
    assert first["alumiini.repo.url"] == "https://git.example/org/shop.git"
    assert first["alumiini.repo.path"] == "deploy/"
    assert first["alumiini.repo.commit"] == "abc123"
    assert first["alumiini.rollout_ref"] == "shop-rollout"
    assert first["k8s.namespace.name"] == "prod"
    assert first["alumiini.sync.trigger"] == second["alumiini.sync.trigger"] == "manual"
    assert second["alumiini.repo.branch"] == "next"
    (fetched, _) = logged(observed, "alumiini.git_fetched", repository)
    assert fetched["alumiini.sync.trigger"] == "manual"


def test_a_resumed_object_is_synced_by_the_startup(observed, api_server, repository):
    def sync(**_):  # in a thread of kopf's
        with git_operation("fetch"):
            pass

    for _ in range(2):
        operator = Operator(api_server)
        kopf.on.create(GROUP, PLURAL, id="sync", registry=operator.registry)(sync)
        kopf.on.resume(GROUP, PLURAL, id="sync", registry=operator.registry)(sync)
        before = len(logged(observed, "alumiini.sync_completed", repository))
        with operator:
            wait_until(
                lambda before=before: len(logged(observed, "alumiini.sync_completed", repository)) > before
            )

    assert logged(observed, "alumiini.sync_completed", repository)[-1]["alumiini.sync.trigger"] == "startup"
    syncs = {span.context.span_id for span in observed.spans("alumiini.sync")}
    assert {span.parent.span_id for span in observed.spans("alumiini.git")} <= syncs


def test_each_attempt_is_a_sync_and_kopf_still_retries(observed, operator, repository):
    attempts = []

    @kopf.on.create(GROUP, PLURAL, backoff=0.1, registry=operator.registry)
    async def sync(retry, **_):
        attempts.append(retry)
        if retry == 0:
            raise kopf.TemporaryError("not yet", delay=0.1)
        if retry == 1:
            raise ValueError("odd")
        raise kopf.PermanentError("never")

    with operator:
        wait_until(lambda: len(logged(observed, "alumiini.sync_failed", repository)) == 3)

    failed = logged(observed, "alumiini.sync_failed", repository)
    assert [each["error.type"] for each in failed] == ["temporary_error", "ValueError", "permanent_error"]
    assert attempts == [0, 1, 2]
    spans = [
        span
        for span in observed.spans("alumiini.sync")
        if span.attributes["alumiini.repo.name"] == repository.name
    ]
    assert [span.attributes["alumiini.sync.retry"] for span in spans] == [0, 1, 2]


def test_hooks_get_span_handler_object_and_result(telemetry, operator, repository):
    def ask(span, handler, body):
        span.set_attribute("asked", f"{handler} {body['metadata']['name']}")

    def answer(span, handler, body, result):
        span.set_attribute("answered", repr(result))

    @kopf.on.create(GROUP, PLURAL, id="sync", registry=operator.registry)
    async def sync(retry, **_):
        if retry == 0:
            raise kopf.TemporaryError("not yet", delay=0.1)
        return 7

    KopfInstrumentor().instrument(request_hook=ask, response_hook=answer)
    try:
        with operator:
            wait_until(lambda: logged(telemetry, "alumiini.sync_completed", repository))
    finally:
        KopfInstrumentor().uninstrument()

    found = [span.attributes for span in telemetry.spans("alumiini.sync")]
    assert [each["asked"] for each in found] == [f"sync {repository.name}"] * 2
    assert [each["answered"] for each in found] == ["TemporaryError('not yet')", "7"]


def test_timers_reconcile_and_are_workers_like_daemons(observed, operator, repository):
    @kopf.timer(GROUP, PLURAL, id="poll", interval=0.2, registry=operator.registry)
    async def poll(**_):
        pass

    held = []

    @kopf.daemon(GROUP, PLURAL, id="watch", backoff=0.1, registry=operator.registry)
    async def watch(stopped, retry, **_):
        held.append(b"x" * 25_000_000)
        if retry == 0:
            raise kopf.TemporaryError("again", delay=0.1)
        await stopped.wait()

    with operator:
        wait_until(lambda: len(logged(observed, "alumiini.sync_completed", repository)) >= 2)
        wait_until(lambda: observed.logs("alumiini.worker.restart"))

    triggers = {
        each["alumiini.sync.trigger"] for each in logged(observed, "alumiini.sync_completed", repository)
    }
    assert triggers == {"reconcile"}
    expected = {f"default/{repository.name}/{handler}" for handler in ("poll", "watch")}
    for event in ("alumiini.worker_started", "alumiini.worker_stopped"):
        assert {each["alumiini.worker.id"] for each in logged(observed, event, repository)} == expected
    assert observed.totals("alumiini.workers.restarts", "repo_name") == {repository.name: 1}
    last = observed.logs("alumiini.worker.count")[-1].log_record.attributes
    assert last["alumiini.workers"] == 0
    assert int(last["alumiini.memory_bytes"]) in range(40_000_000, 100_000_000)


def test_workers_are_sampled_whenever_metrics_are_collected(observed, operator, repository):
    held = []

    @kopf.daemon(GROUP, PLURAL, id="watch", registry=operator.registry)
    async def watch(stopped, **_):
        await stopped.wait()

    def samples():
        return [record.log_record.attributes for record in observed.logs("alumiini.worker.count")]

    with operator:
        wait_until(samples)
        (before,) = observed.points("alumiini.workers.memory")
        held.append(b"x" * 50_000_000)
        (after,) = observed.points("alumiini.workers.memory")
        (workers,) = observed.points("alumiini.workers.active")

    assert after.value - before.value in range(40_000_000, 100_000_000)
    assert workers.value == 1
    at_the_end = len(samples())
    observed.points("alumiini.workers.memory")
    assert len(samples()) == at_the_end, "workers that do not run were sampled"


def test_workers_are_not_sampled_without_instrumentation(observed, operator, repository):
    @kopf.daemon(GROUP, PLURAL, id="watch", registry=operator.registry)
    async def watch(stopped, **_):
        await stopped.wait()

    with operator:
        wait_until(lambda: observed.logs("alumiini.worker.count"))
        KopfInstrumentor().uninstrument()
        before = len(observed.logs("alumiini.worker.count"))
        observed.points("alumiini.workers.active")
        assert len(observed.logs("alumiini.worker.count")) == before
        KopfInstrumentor().instrument()


def test_a_restarted_operator_restarts_its_workers(observed, api_server, repository, objects):
    def finalizers():
        name = repository.name
        found = objects.get_namespaced_custom_object(GROUP, "v1", "default", PLURAL, name)
        return found["metadata"].get("finalizers")

    async def poll(**_):
        pass

    async def watch(stopped, **_):
        await stopped.wait()

    expected = {f"default/{repository.name}/{handler}" for handler in ("poll", "watch")}
    for run in (1, 2):
        operator = Operator(api_server)
        kopf.timer(GROUP, PLURAL, id="poll", interval=0.2, registry=operator.registry)(poll)
        kopf.daemon(GROUP, PLURAL, id="watch", registry=operator.registry)(watch)
        before = len(logged(observed, "alumiini.worker_started", repository))
        with operator:
            wait_until(
                lambda before=before: (
                    len(logged(observed, "alumiini.worker_started", repository)) >= before + 2
                )
            )
            wait_until(finalizers)
        restarted = [
            each["alumiini.worker.id"] for each in logged(observed, "alumiini.worker.restart", repository)
        ]
        assert sorted(restarted) == ([] if run == 1 else sorted(expected))
    assert observed.totals("alumiini.workers.restarts", "repo_name")[repository.name] == 2


def test_subhandlers_are_syncs_and_their_parent_is_not_failed_while_they_wait(observed, operator, repository):
    @kopf.on.create(GROUP, PLURAL, registry=operator.registry)
    async def parent(**_):
        @kopf.subhandler(id="child", backoff=0.1)
        async def child(retry, **_):
            if retry == 0:
                raise kopf.TemporaryError("not yet", delay=0.1)

    with operator:
        wait_until(lambda: len(logged(observed, "alumiini.sync_completed", repository)) >= 2)

    failed = logged(observed, "alumiini.sync_failed", repository)
    assert [each["error.type"] for each in failed] == ["temporary_error"]
    assert observed.totals("alumiini.syncs", "outcome")["unknown"] >= 1


def test_objects_without_a_repository_and_other_handlers_are_not_syncs(observed, operator, objects):
    seen = []

    @kopf.on.create(GROUP, PLURAL, registry=operator.registry)
    @kopf.on.event(GROUP, PLURAL, registry=operator.registry)
    async def see(name, **_):
        seen.append(name)

    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Repository",
        "metadata": {"name": "plain"},
        "spec": {"a": 1},
    }
    objects.create_namespaced_custom_object(GROUP, "v1", "default", PLURAL, body)
    with operator:
        wait_until(lambda: seen.count("plain") >= 2)
    objects.delete_namespaced_custom_object(GROUP, "v1", "default", PLURAL, "plain")

    assert observed.spans("alumiini.sync") == []


@pytest.fixture
def webhook_server(objects, tmp_path):
    """Return a server of kopf's that the API server trusts; its configurations are removed afterwards."""
    authority = CertificateAuthority(tmp_path / "certificates")
    issued = authority.issue("webhooks")
    yield kopf.WebhookServer(
        addr="127.0.0.1", cafile=authority.certificate, certfile=issued.certificate, pkeyfile=issued.key
    )
    admission = kubernetes.client.AdmissionregistrationV1Api(objects.api_client)
    with contextlib.suppress(kubernetes.client.exceptions.ApiException):
        admission.delete_validating_webhook_configuration(WEBHOOKS)


def test_admission_handlers_are_syncs_with_the_trigger_webhook(
    observed, operator, repository, objects, webhook_server
):
    @kopf.on.startup(registry=operator.registry)
    def configure(settings, **_):
        settings.admission.server = webhook_server
        settings.admission.managed = WEBHOOKS

    seen = []

    @kopf.on.validate(GROUP, PLURAL, registry=operator.registry)
    def check(spec, dryrun, **_):
        seen.append((spec["branch"], dryrun))
        if spec["branch"] == "forbidden":
            raise kopf.AdmissionError("not this branch")

    def is_asked(branch):
        repository.change({"branch": branch})
        return seen

    with operator:
        branches = (f"branch{number}" for number in count())
        wait_until(lambda: is_asked(next(branches)))  # the API server has loaded the configuration
        with pytest.raises(kubernetes.client.exceptions.ApiException, match="not this branch"):
            repository.change({"branch": "forbidden"})
        rehearsal = {"spec": {"branch": "rehearsal"}}
        objects.patch_namespaced_custom_object(
            GROUP, "v1", "default", PLURAL, repository.name, rehearsal, dry_run="All"
        )

    # The API server asks again when it finds that it knew an earlier state of the object.
    assert list(dict.fromkeys(seen)) == [(seen[0][0], False), ("forbidden", False), ("rehearsal", True)]
    completed = logged(observed, "alumiini.sync_completed", repository)
    failed = logged(observed, "alumiini.sync_failed", repository)
    reported = [(each["alumiini.repo.branch"], False) for each in completed + failed]
    assert reported == [each for each in seen if each != ("rehearsal", True)]
    assert {each["alumiini.repo.branch"] for each in failed} == {"forbidden"}
    assert {each["alumiini.sync.trigger"] for each in completed + failed} == {"webhook"}
    assert {each["error.type"] for each in failed} == {"permanent_error"}


def test_peering_is_a_worker(observed, api_server, objects):
    peering = {
        "apiVersion": "kopf.dev/v1",
        "kind": "KopfPeering",
        "metadata": {"name": "shop"},
    }
    objects.create_namespaced_custom_object("kopf.dev", "v1", "default", "kopfpeerings", peering)
    operator = Operator(api_server, standalone=False, peering_name="shop", identity="controller-1")
    kopf.on.event(GROUP, PLURAL, registry=operator.registry)(lambda **_: None)
    with operator:
        wait_until(lambda: observed.logs("alumiini.worker_started"))

    for event in ("alumiini.worker_started", "alumiini.worker_stopped"):
        (record,) = observed.logs(event)
        assert record.log_record.attributes["alumiini.worker.id"] == "peering/controller-1"


def test_uninstrumented_kopf_is_as_before():
    from kopf._core.actions import execution
    from kopf._core.engines import daemons, peering
    from kopf._core.reactor.inventory import ResourceMemories

    functions = [
        (execution, "invoke_handler"),
        (daemons, "_runner"),
        (peering, "keepalive"),
        (ResourceMemories, "recall"),
    ]
    before = [getattr(module, name) for module, name in functions]
    KopfInstrumentor().instrument()
    assert all(
        getattr(module, name) is not each for (module, name), each in zip(functions, before, strict=True)
    )
    KopfInstrumentor().uninstrument()
    assert [getattr(module, name) for module, name in functions] == before
