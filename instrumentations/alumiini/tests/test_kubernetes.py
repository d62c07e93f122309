"""The Kubernetes clients against a real API server, whose audit log says what was applied."""

import asyncio
import inspect
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubernetes
import kubernetes_asyncio
import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic import exceptions as dynamic_exceptions
from kubernetes_asyncio.dynamic import DynamicClient as AsyncioDynamicClient
from opentelemetry.instrumentation.alumiini import sync
from opentelemetry.instrumentation.alumiini.kubernetes import (
    KubernetesAsyncioInstrumentor,
    KubernetesInstrumentor,
)
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode
from urllib3.exceptions import ProtocolError

from assay.instrumentation.testing import BusEvents

SECRET = "manifest-7d1f0c2b"
WRITES = ("create", "update", "patch", "delete", "deletecollection")

# A first run builds the API server.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def configuration(library, server, user):
    """Return a configuration of one of the clients."""
    found = library.client.Configuration()
    found.host = server.url
    found.ssl_ca_cert = str(server.certificate)
    bearer = f"Bearer {server.tokens[user]}"
    found.api_key = {"authorization": bearer, "BearerToken": bearer}
    found.api_key_prefix = {}
    return found


@pytest.fixture
def client(api_server):
    """Return a client of the user who may do everything."""
    with kubernetes.client.ApiClient(configuration(kubernetes, api_server, "admin")) as found:
        yield found


@pytest.fixture
def guest(api_server):
    """Return a client of the user who may do nothing."""
    with kubernetes.client.ApiClient(configuration(kubernetes, api_server, "guest")) as found:
        yield found


@pytest.fixture
def observed(telemetry):
    """Return the telemetry, with both clients instrumented."""
    KubernetesInstrumentor().instrument()
    KubernetesAsyncioInstrumentor().instrument()
    yield telemetry
    KubernetesInstrumentor().uninstrument()
    KubernetesAsyncioInstrumentor().uninstrument()


@pytest.fixture
def name(request):
    """Return a name that no other test uses."""
    return f"n{abs(hash(request.node.nodeid)):x}"


def manifest(name, kind="ConfigMap", **rest):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **rest}


def applies(telemetry):
    """Return kind, namespace and name of each apply's span."""
    return [
        tuple(
            span.attributes.get(key)
            for key in ("alumiini.resource.kind", "k8s.namespace.name", "alumiini.resource.name")
        )
        for span in telemetry.spans("alumiini.apply")
    ]


def logged(telemetry, event):
    return [record.log_record.attributes for record in telemetry.logs(event)]


def audited(api_server, name):
    """Return the verbs of the writes to objects of this name, as the API server recorded them."""
    return [
        record["verb"]
        for record in api_server.audited(*WRITES)
        if record["objectRef"].get("name") == name and "system" not in record["user"]["username"]
    ]


def texts(telemetry):
    """Return everything that was exported, as one text."""
    spans = [span.to_json() for span in telemetry.spans()]
    return "\n".join([*spans, *(record.to_json() for record in telemetry.logs())])


def test_each_write_is_one_apply_as_the_api_server_recorded_it(observed, client, api_server, name):
    core = kubernetes.client.CoreV1Api(client)
    core.create_namespaced_config_map("default", manifest(name, data={"a": "1"}))
    core.read_namespaced_config_map(name, "default")
    core.patch_namespaced_config_map(name, "default", {"data": {"a": "2"}})
    core.replace_namespaced_config_map(name, "default", manifest(name, data={"a": "3"}))
    core.list_namespaced_config_map("default")
    core.delete_namespaced_config_map(name, "default")

    assert applies(observed) == [("ConfigMap", "default", name)] * 4
    assert audited(api_server, name) == ["create", "patch", "update", "delete"]
    assert observed.totals("alumiini.resources.applied", "resource_kind") == {"ConfigMap": 4}
    assert len(observed.logs("alumiini.apply_started")) == len(observed.logs("alumiini.apply_completed")) == 4


def test_a_typed_body_has_kind_and_name(observed, client, name):
    body = kubernetes.client.V1Service(
        metadata=kubernetes.client.V1ObjectMeta(name=name),
        spec=kubernetes.client.V1ServiceSpec(ports=[kubernetes.client.V1ServicePort(port=80)]),
    )
    kubernetes.client.CoreV1Api(client).create_namespaced_service("default", body)

    assert applies(observed) == [("Service", "default", name)]


def test_a_resource_of_the_cluster_has_the_namespace_of_the_sync(observed, client, name):
    with sync("my-app", trigger="poll", namespace="prod") as running:
        kubernetes.client.CoreV1Api(client).create_namespace(manifest(name, "Namespace"))

    assert applies(observed) == [("Namespace", "prod", name)]
    (span,) = observed.spans("alumiini.sync")
    assert span.attributes["alumiini.sync.resources_applied"] == 1
    (event,) = logged(observed, "alumiini.apply_completed")
    assert (event["alumiini.repo.name"], event["alumiini.sync.trigger"]) == ("my-app", "poll")
    assert running.repository.name == "my-app"


def test_the_dynamic_client_s_writes_are_applies(observed, client, api_server, name):
    maps = DynamicClient(client).resources.get(api_version="v1", kind="ConfigMap")
    maps.server_side_apply(manifest(name), namespace="default", field_manager="test")
    maps.patch(
        {"data": {"a": "1"}}, name=name, namespace="default", content_type="application/merge-patch+json"
    )
    maps.get(name=name, namespace="default")
    maps.delete(name=name, namespace="default")

    assert applies(observed) == [("ConfigMap", "default", name)] * 3
    assert audited(api_server, name) == ["patch", "patch", "delete"]


def test_create_from_yaml_is_one_apply_for_each_object(observed, client, name):
    kubernetes.utils.create_from_dict(client, manifest(name), namespace="default")

    assert applies(observed) == [("ConfigMap", "default", name)]


def test_the_kind_of_a_custom_resource_is_learned(observed, client, name):
    plural = f"{name}widgets"
    group = f"{name}.example.org"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": "Widget"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }
    extensions = kubernetes.client.ApiextensionsV1Api(client)
    custom = kubernetes.client.CustomObjectsApi(client)
    extensions.create_custom_resource_definition(definition)
    wait_for_custom_resource(custom, group, plural)
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}}
    custom.create_namespaced_custom_object(group, "v1", "default", plural, widget)
    custom.delete_namespaced_custom_object(group, "v1", "default", plural, name)

    assert [kind for kind, *_ in applies(observed)] == ["CustomResourceDefinition", "Widget", "Widget"]


def wait_for_custom_resource(custom, group, plural):
    from assay.instrumentation.testing import wait_until

    def is_served():
        try:
            custom.list_namespaced_custom_object(group, "v1", "default", plural)
        except ApiException:
            return False
        return True

    wait_until(is_served, timeout=30)


def create_twice(core, name):
    core.create_namespaced_config_map("default", manifest(name))
    core.create_namespaced_config_map("default", manifest(name))


def replace_an_old_version(core, name):
    first = core.create_namespaced_config_map("default", manifest(name))
    core.patch_namespaced_config_map(name, "default", {"data": {"a": "1"}})
    core.replace_namespaced_config_map(name, "default", first)


def create_an_invalid_service(core, name):
    ports = {"ports": [{"port": 80, "name": SECRET.upper()}]}
    core.create_namespaced_service("default", manifest(name, "Service", spec=ports))


def replace_by_another_name(core, name):
    core.replace_namespaced_config_map(name, "default", manifest(f"{name}-other"))


FAILURES = [
    ("conflict", create_twice),
    ("conflict", replace_an_old_version),
    ("validation", create_an_invalid_service),
    ("validation", replace_by_another_name),
    ("not_found", lambda core, name: core.delete_namespaced_config_map(name, "default")),
]


@pytest.mark.parametrize(("expected", "fail"), FAILURES)
def test_failures_are_told_apart_and_raised_unchanged(observed, client, name, expected, fail):
    with pytest.raises(ApiException) as raised:
        fail(kubernetes.client.CoreV1Api(client), name)

    (failed,) = logged(observed, "alumiini.apply_failed")
    assert failed["error.type"] == expected
    assert failed["alumiini.outcome"] == "failure"
    assert failed["assay.error.message"].startswith(str(raised.value.status))
    span = observed.spans("alumiini.apply")[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == expected
    assert observed.totals("alumiini.errors", "error_type") == {expected: 1}
    assert SECRET not in texts(observed).lower()


def test_a_forbidden_write_is_an_auth_failure(observed, guest, name):
    with pytest.raises(ApiException), sync("my-app", trigger="poll"):
        kubernetes.client.CoreV1Api(guest).create_namespaced_config_map("default", manifest(name))

    (failed,) = logged(observed, "alumiini.sync_failed")
    assert (failed["error.type"], failed["alumiini.error.detail"]) == ("apply_error", "auth")
    assert observed.totals("alumiini.errors", "error_type") == {"auth": 1}


def test_the_dynamic_client_s_failures_have_the_same_types(observed, client, name):
    maps = DynamicClient(client).resources.get(api_version="v1", kind="ConfigMap")
    maps.create(manifest(name), namespace="default")
    with pytest.raises(dynamic_exceptions.ConflictError):
        maps.create(manifest(name), namespace="default")

    (failed,) = logged(observed, "alumiini.apply_failed")
    assert failed["error.type"] == "conflict"


def test_a_server_that_is_gone_is_unreachable(observed, api_server, name):
    found = configuration(kubernetes, api_server, "admin")
    found.host = "https://127.0.0.1:1"
    found.retries = False
    with kubernetes.client.ApiClient(found) as client, pytest.raises(Exception, match="refused"):
        kubernetes.client.CoreV1Api(client).create_namespaced_config_map("default", manifest(name))

    (failed,) = logged(observed, "alumiini.apply_failed")
    assert failed["error.type"] == "unreachable"


def test_the_kind_in_a_refused_manifest_is_not_a_label(observed, client, name):
    custom = kubernetes.client.CustomObjectsApi(client)
    body = {"apiVersion": "nowhere.example.org/v1", "kind": "Anything", "metadata": {"name": name}}
    with pytest.raises(ApiException):
        custom.create_namespaced_custom_object("nowhere.example.org", "v1", "default", "things", body)

    (point,) = observed.points("alumiini.apply.duration")
    assert point.attributes["resource_kind"] == "things"


def test_requests_that_apply_nothing_are_not_applies(observed, client, name):
    core = kubernetes.client.CoreV1Api(client)
    core.create_namespaced_config_map("default", manifest(name), dry_run="All")
    review = kubernetes.client.V1SelfSubjectAccessReview(
        spec=kubernetes.client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=kubernetes.client.V1ResourceAttributes(verb="get", resource="pods")
        )
    )
    kubernetes.client.AuthorizationV1Api(client).create_self_subject_access_review(review)
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
    kubernetes.client.CoordinationV1Api(client).create_namespaced_lease("default", lease)

    assert applies(observed) == []


def test_the_asyncio_client_s_writes_are_applies(observed, api_server, name):
    async def main():
        found = configuration(kubernetes_asyncio, api_server, "admin")
        async with kubernetes_asyncio.client.ApiClient(found) as client:
            core = kubernetes_asyncio.client.CoreV1Api(client)
            await core.create_namespaced_config_map("default", manifest(name))
            with pytest.raises(kubernetes_asyncio.client.ApiException):
                await core.create_namespaced_config_map("default", manifest(name))
            async with AsyncioDynamicClient(client) as dynamic:
                maps = await dynamic.resources.get(api_version="v1", kind="ConfigMap")
                await maps.delete(name=name, namespace="default")

    asyncio.run(main())
    assert applies(observed) == [("ConfigMap", "default", name)] * 3
    assert audited(api_server, name) == ["create", "create", "delete"]
    assert observed.totals("alumiini.errors", "error_type") == {"conflict": 1}


def test_the_kubernetes_package_s_own_asyncio_client_is_observed(observed, api_server, name):
    aio = pytest.importorskip("kubernetes.aio", reason="kubernetes.aio is in kubernetes 37 and later")

    async def main():
        async with aio.client.ApiClient(configuration(aio, api_server, "admin")) as client:
            core = aio.client.CoreV1Api(client)
            await core.create_namespaced_config_map("default", manifest(name))
            with pytest.raises(aio.client.exceptions.ApiException), sync("my-app"):
                await core.create_namespaced_config_map("default", manifest(name))

    asyncio.run(main())
    assert applies(observed) == [("ConfigMap", "default", name)] * 2
    assert audited(api_server, name) == ["create", "create"]
    assert observed.totals("alumiini.errors", "error_type") == {"conflict": 1}


def test_concurrent_applies_belong_to_their_syncs(observed, api_server, name):
    async def apply(core, number):
        with sync(f"app-{number}", trigger="reconcile"):
            await core.create_namespaced_config_map("default", manifest(f"{name}-{number}"))

    async def main():
        found = configuration(kubernetes_asyncio, api_server, "admin")
        async with kubernetes_asyncio.client.ApiClient(found) as client:
            core = kubernetes_asyncio.client.CoreV1Api(client)
            await asyncio.gather(*(apply(core, number) for number in range(5)))

    asyncio.run(main())
    assert {
        (event["alumiini.repo.name"], event["alumiini.resource.name"])
        for event in logged(observed, "alumiini.apply_completed")
    } == {(f"app-{number}", f"{name}-{number}") for number in range(5)}


def test_hooks_get_span_method_url_and_result(telemetry, client, name):
    seen = []

    def request(span, method, url):
        span.set_attribute("shop.owner", f"{method} {url.rpartition('/')[2]}")

    def response(span, method, url, result):
        seen.append(result.status)

    KubernetesInstrumentor().instrument(request_hook=request, response_hook=response)
    try:
        kubernetes.client.CoreV1Api(client).create_namespaced_config_map("default", manifest(name))
    finally:
        KubernetesInstrumentor().uninstrument()

    (span,) = telemetry.spans("alumiini.apply")
    assert span.attributes["shop.owner"] == "POST configmaps"
    assert seen == [201]


def test_suppressed_and_uninstrumented_clients_emit_nothing(telemetry, client, name):
    core = kubernetes.client.CoreV1Api(client)
    original = vars(kubernetes.client.rest.RESTClientObject)["request"]
    KubernetesInstrumentor().instrument()
    with BusEvents("alumiini.*") as emitted, suppress_instrumentation():
        core.create_namespaced_config_map("default", manifest(name))
    KubernetesInstrumentor().uninstrument()
    core.delete_namespaced_config_map(name, "default")

    assert emitted == []
    assert telemetry.spans() == []
    assert vars(kubernetes.client.rest.RESTClientObject)["request"] is original


def test_secrets_stay_in_the_manifest(observed, client, name):
    body = manifest(name, "Secret", stringData={"password": SECRET})
    kubernetes.client.CoreV1Api(client).create_namespaced_secret("default", body)

    assert SECRET not in texts(observed)
    assert (
        json.loads(observed.spans("alumiini.apply")[0].to_json())["attributes"]["alumiini.resource.name"]
        == name
    )


APPLY = {"field_manager": "gitops", "force": True, "_content_type": "application/apply-patch+yaml"}


def has_content_type(library):
    """Return whether the methods of a client take a content type; the dynamic client always does."""
    method = library.client.CoreV1Api.patch_namespaced_config_map_with_http_info
    return re.search(r"\b_content_type\b", inspect.getsource(method)) is not None


@pytest.fixture
def apply_by(client):
    """Return functions that apply a ConfigMap on the server's side, by the client that they use."""
    core, dynamic = kubernetes.client.CoreV1Api(client), DynamicClient(client)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")

    def by_dynamic(body):
        dynamic.server_side_apply(
            maps, body, namespace="default", field_manager="gitops", force_conflicts=True
        )

    def by_generated(body):
        core.patch_namespaced_config_map(body["metadata"]["name"], "default", body, **APPLY)

    return {"dynamic": by_dynamic, "generated": by_generated}


def drifts(telemetry):
    """Return the drift events, in order."""
    return [
        (
            record.log_record.event_name,
            attributes["alumiini.resource.kind"],
            attributes["alumiini.resource.name"],
        )
        for record in telemetry.logs()
        if record.log_record.event_name.startswith("alumiini.drift")
        for attributes in [record.log_record.attributes]
    ]


def wait_for_another_second():
    """Wait until the API server records another time than until now; its resolution is a second."""
    before = int(time.time())
    while int(time.time()) == before:
        time.sleep(0.05)


@pytest.mark.parametrize("way", ["dynamic", *(["generated"] if has_content_type(kubernetes) else [])])
def test_an_apply_that_restores_what_somebody_has_changed_corrects_drift(
    observed, client, apply_by, name, way
):
    core, apply = kubernetes.client.CoreV1Api(client), apply_by[way]
    ours = manifest(name, data={"text": "ours"})
    both = [(event, "ConfigMap", name) for event in ("alumiini.drift_detected", "alumiini.drift_corrected")]
    apply(ours)
    apply(ours)
    assert drifts(observed) == []

    wait_for_another_second()
    core.patch_namespaced_config_map(name, "default", {"data": {"text": "theirs"}})
    apply(ours)
    assert core.read_namespaced_config_map(name, "default").data == {"text": "ours"}
    assert drifts(observed) == both

    core.delete_namespaced_config_map(name, "default")
    apply(ours)
    apply(ours)
    assert drifts(observed) == both * 2


def test_a_change_of_the_manifest_or_of_other_fields_is_not_drift(observed, client, apply_by, name):
    core, apply = kubernetes.client.CoreV1Api(client), apply_by["dynamic"]
    apply(manifest(name, data={"text": "one"}))
    wait_for_another_second()
    apply(manifest(name, data={"text": "two"}))
    core.patch_namespaced_config_map(name, "default", {"data": {"other": "theirs"}})
    apply(manifest(name, data={"text": "two"}))
    assert drifts(observed) == []


def test_drift_is_about_the_repository_of_the_sync(observed, client, apply_by, name):
    core, apply = kubernetes.client.CoreV1Api(client), apply_by["dynamic"]
    apply(manifest(name, data={"text": "ours"}))
    wait_for_another_second()
    core.patch_namespaced_config_map(name, "default", {"data": {"text": "theirs"}})
    with sync("my-app", trigger="reconcile"):
        apply(manifest(name, data={"text": "ours"}))
    for event in ("alumiini.drift_detected", "alumiini.drift_corrected"):
        (found,) = logged(observed, event)
        assert (found["alumiini.repo.name"], found["alumiini.sync.trigger"]) == ("my-app", "reconcile")


@pytest.mark.skipif(not has_content_type(kubernetes_asyncio), reason="this version has no server-side apply")
def test_the_asyncio_client_corrects_drift(observed, api_server, name):
    ours = manifest(name, data={"text": "ours"})

    async def main():
        found = configuration(kubernetes_asyncio, api_server, "admin")
        async with kubernetes_asyncio.client.ApiClient(found) as client:
            core = kubernetes_asyncio.client.CoreV1Api(client)
            await core.patch_namespaced_config_map(name, "default", ours, **APPLY)
            await core.delete_namespaced_config_map(name, "default")
            await core.patch_namespaced_config_map(name, "default", ours, **APPLY)

    asyncio.run(main())
    assert drifts(observed) == [
        ("alumiini.drift_detected", "ConfigMap", name),
        ("alumiini.drift_corrected", "ConfigMap", name),
    ]


def test_an_answer_that_breaks_off_raises_what_it_raises_without_instrumentation(observed):
    class BreakOff(BaseHTTPRequestHandler):
        def do_PATCH(self):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    def apply(server):
        found = kubernetes.client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
        with kubernetes.client.ApiClient(found) as client:
            url, headers = "/api/v1/namespaces/default/configmaps/a", {"Content-Type": APPLY["_content_type"]}
            rest = client.rest_client
            answer = rest.request(
                "PATCH", f"{found.host}{url}?fieldManager=gitops", headers=headers, body=manifest("a")
            )
            return answer.read()

    with ThreadingHTTPServer(("127.0.0.1", 0), BreakOff) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(ProtocolError, match="IncompleteRead"):
                apply(server)
            with suppress_instrumentation(), pytest.raises(ProtocolError, match="IncompleteRead"):
                apply(server)
        finally:
            server.shutdown()
            thread.join()
