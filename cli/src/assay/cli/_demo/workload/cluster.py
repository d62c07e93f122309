"""A real Kubernetes API server with what a GitOps controller needs: custom resource, namespaces, account."""

# pyright: basic
# The Kubernetes client has no types.

import json
from collections import Counter
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException

from assay.instrumentation.testing import wait_until
from assay.instrumentation.testing.kubernetes import ApiServer

RESOURCE = ("gitops.example.org", "v1", "gitops", "repositories")
ACCOUNT = ("gitops", "controller")
"""Namespace and name of the controller's service account."""
ACTED_AS = f"system:serviceaccount:{':'.join(ACCOUNT)}"
CLIENT = "OpenAPI-Generator"
"""First part of the user agent of the Kubernetes client; kopf has another one."""
WRITES = ("create", "update", "patch", "delete")
KINDS = {
    "configmaps": "ConfigMap",
    "deployments": "Deployment",
    "repositories": "repositories",
    "services": "Service",
}
"""Kinds by the names of resources in URLs. A patch of a custom resource does not state its kind."""
TOKEN_SECONDS = 3600
WAIT_SECONDS = 120


class Cluster:
    """An API server in which a GitOps controller is installed.

    Args:
        server: The API server; it runs.
        manifest: File that installs the controller.

    Attributes:
        api: A client of an administrator.
        objects: Its API of custom objects.
    """

    def __init__(self, server: ApiServer, manifest: Path) -> None:
        self._server = server
        configuration = kubernetes.client.Configuration()
        configuration.host, configuration.ssl_ca_cert = server.url, str(server.certificate)
        bearer = f"Bearer {server.tokens['admin']}"
        # The second key is that of newer clients.
        configuration.api_key = {"authorization": bearer, "BearerToken": bearer}
        self.api = kubernetes.client.ApiClient(configuration)
        self.objects = kubernetes.client.CustomObjectsApi(self.api)
        self.core = kubernetes.client.CoreV1Api(self.api)
        kubernetes.utils.create_from_yaml(self.api, str(manifest))
        wait_until(self._serves_repositories, timeout=WAIT_SECONDS, interval=0.2)

    def write_kubeconfig(self, path: Path) -> None:
        """Write the configuration with which a program acts as the controller's account (kubeconfig v1)."""
        spec = kubernetes.client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_SECONDS)
        asked = kubernetes.client.AuthenticationV1TokenRequest(spec=spec)
        namespace, name = ACCOUNT
        answer: Any = self.core.create_namespaced_service_account_token(name, namespace, asked)
        server = {"server": self._server.url, "certificate-authority": str(self._server.certificate)}
        parts = {
            "cluster": server,
            "user": {"token": answer.status.token},
            "context": {"cluster": "demo", "user": "demo"},
        }
        lists = {f"{part}s": [{"name": "demo", part: value}] for part, value in parts.items()}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "demo", **lists}
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        path.chmod(0o600)

    def declare(self, name: str, **spec: object) -> None:
        """Create the object of a repository, as a user does who wants it to be synced."""
        group, version, _, _ = RESOURCE
        body = {"apiVersion": f"{group}/{version}", "kind": "Repository"}
        self.objects.create_namespaced_custom_object(
            *RESOURCE, {**body, "metadata": {"name": name}, "spec": spec}
        )

    def remove(self, name: str) -> None:
        """Delete the object of a repository, and wait until the controller has let it go."""
        self.objects.delete_namespaced_custom_object(*RESOURCE, name)
        wait_until(lambda: self._find(name) is None, timeout=WAIT_SECONDS, interval=0.1)

    def wait_for_commit(self, name: str, commit: str) -> None:
        """Wait until the status of a repository's object shows a revision, which the last sync has applied.

        Raises:
            TimeoutError: It does not show it.
        """

        def is_shown() -> bool:
            found = self._find(name) or {}
            return found.get("status", {}).get("sync", {}).get("commit") == commit

        wait_until(is_shown, timeout=WAIT_SECONDS, interval=0.1)

    def data_of(self, name: str) -> dict[str, str] | None:
        """Return the data of a ConfigMap in the namespace `shop`; None if it does not exist."""
        try:
            return self.core.read_namespaced_config_map(name, "shop").data
        except ApiException as error:
            if error.status == 404:  # noqa: PLR2004 - Not Found
                return None
            raise

    def writes(self) -> list[dict[str, Any]]:
        """Return what the API server's audit log says of the writes of the controller's Kubernetes client."""
        return [
            record
            for record in self._server.audited(*WRITES)
            if record["user"]["username"] == ACTED_AS and record["userAgent"].startswith(CLIENT)
        ]

    def writes_to(self, name: str) -> list[dict[str, Any]]:
        """Return the records of the writes to the resources of a name."""
        return [each for each in self.writes() if each["objectRef"].get("name") == name]

    def accepted(self) -> Counter[str]:
        """Return the number of these writes that the API server has accepted, by kind."""
        failure = 400
        return Counter(
            KINDS[each["objectRef"]["resource"]]
            for each in self.writes()
            if each["responseStatus"]["code"] < failure
        )

    def _find(self, name: str) -> dict[str, Any] | None:
        found: Any = self.objects.list_namespaced_custom_object(*RESOURCE)
        return next((each for each in found["items"] if each["metadata"]["name"] == name), None)

    def _serves_repositories(self) -> bool:
        try:
            self.objects.list_namespaced_custom_object(*RESOURCE)
        except ApiException:
            return False
        return True
