"""The controller's webhook: GitHub's message about a push requests the sync of the repository that it names.

    GITOPS_WEBHOOK_SECRET=... python receiver.py 8080

The middleware lets requests to `/hooks` pass only if GitHub has signed them with the secret.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

import kubernetes
from opentelemetry.instrumentation.alumiini.wsgi import WebhookMiddleware

NAMESPACE = "gitops"
RESOURCE = ("gitops.example.org", "v1", NAMESPACE, "repositories")


def receive(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Write the pushed revision to the objects of the repository, which makes the controller sync them."""
    push = json.loads(environ["wsgi.input"].read())
    pushed = {"metadata": {"annotations": {"gitops.example.org/pushed": push["after"]}}}
    objects = kubernetes.client.CustomObjectsApi()
    for each in objects.list_namespaced_custom_object(*RESOURCE)["items"]:
        if each["spec"]["url"] == push["repository"]["clone_url"]:
            objects.patch_namespaced_custom_object(*RESOURCE, each["metadata"]["name"], pushed)
    start_response("202 Accepted", [("Content-Length", "0")])
    return []


def main(port: int) -> None:
    """Serve webhooks until the process is terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    kubernetes.config.load_config()
    secrets = {"github": os.environ["GITOPS_WEBHOOK_SECRET"]}
    application = WebhookMiddleware(receive, secrets, paths=["/hooks"])
    with make_server("127.0.0.1", port, application) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
