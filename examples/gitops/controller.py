"""A GitOps controller: it keeps namespaces of a cluster as git repositories describe them.

    kopf run --standalone --namespace gitops controller.py

Plain kopf, GitPython and the Kubernetes client. Nothing in this file imports, configures or mentions
telemetry.
"""

import os
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import git
import kopf
import kubernetes
import yaml
from kubernetes.dynamic import DynamicClient

RESOURCE = ("gitops.example.org", "v1", "repositories")
CLONES = Path(os.environ.get("GITOPS_CLONES", "clones"))
INTERVAL = float(os.environ.get("GITOPS_INTERVAL", "60"))  # seconds between two reconciliations

locks: defaultdict[str, Lock] = defaultdict(Lock)  # by the name of the repository


@kopf.on.startup()
def connect(**_: object) -> None:
    """Read the address of the cluster, and the credentials for it."""
    kubernetes.config.load_config()


@kopf.on.create(*RESOURCE, errors=kopf.ErrorsMode.PERMANENT)
@kopf.on.update(*RESOURCE, errors=kopf.ErrorsMode.PERMANENT)
@kopf.on.resume(*RESOURCE, errors=kopf.ErrorsMode.PERMANENT)
def sync(name: str, namespace: str, spec: kopf.Spec, **_: object) -> dict[str, str]:
    """Fetch the repository and apply its manifests; the status of the object shows the revision."""
    with locks[name]:
        commit = check_out(CLONES / name, spec["url"], spec.get("branch", "main"))
        manifests = read_manifests(CLONES / name / spec.get("path", "."), commit)
        apply(manifests, spec.get("targetNamespace", namespace), force=spec.get("force", True))
    return {"commit": commit}


@kopf.timer(*RESOURCE, interval=INTERVAL, initial_delay=INTERVAL, backoff=INTERVAL)
def reconcile(**arguments: Any) -> None:
    """Sync again, so that changes that somebody makes in the cluster do not last."""
    sync(**arguments)


def check_out(folder: Path, url: str, branch: str) -> str:
    """Clone or fetch a repository, check out the newest revision of a branch, and return the revision."""
    if (folder / ".git").exists():
        repository = git.Repo(folder)
        repository.remotes.origin.fetch()
    else:
        repository = git.Repo.clone_from(url, folder, no_checkout=True)
    with repository:
        repository.git.checkout("--force", "--detach", f"origin/{branch}")
        return repository.head.commit.hexsha


@lru_cache(maxsize=100)
def read_manifests(folder: Path, commit: str) -> list[dict[str, Any]]:  # noqa: ARG001 - part of the cache's key
    """Return the manifests in the YAML files of a folder, which hold the files of a revision."""
    files = (path.read_text("utf-8") for path in sorted(folder.glob("*.yaml")))
    return [manifest for text in files for manifest in yaml.safe_load_all(text) if manifest]


def apply(manifests: list[dict[str, Any]], namespace: str, *, force: bool) -> None:
    """Apply manifests on the server's side; with `force`, overwrite fields that others have set."""
    with kubernetes.client.ApiClient() as api:
        client = DynamicClient(api)
        for each in manifests:
            resource = client.resources.get(api_version=each["apiVersion"], kind=each["kind"])
            client.server_side_apply(
                resource, each, namespace=namespace, field_manager="gitops", force_conflicts=force
            )
