"""The sync that is in progress: events inside it are about its repository, namespace, cluster and trigger."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

from opentelemetry.instrumentation.alumiini.repositories import UNKNOWN, Repository, combine

from assay.semconv import attributes

RESOURCE_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
FAILURES_KEPT = 16
"""A daemon may report errors for as long as it runs."""


@dataclass(slots=True)
class Scope:
    """The values that the events of one sync share.

    Args:
        repository: The repository; it changes as more becomes known of it.
        namespace: Namespace that is synced.
        cluster_id: Id of the cluster.
        trigger: Trigger of the sync.
        resources_applied: How many resources were applied so far.
        failures: The last errors that were reported inside, each with its meaning for the sync.
    """

    repository: Repository
    namespace: str
    cluster_id: str
    trigger: str
    resources_applied: int = 0
    failures: deque[tuple[object, Any]] = field(
        default_factory=lambda: deque[tuple[object, Any]](maxlen=FAILURES_KEPT)
    )

    def learn(self, found: Repository) -> Repository:
        """Complete the repository by what an operation has found out about it.

        Returns:
            The repository; `found` if the operation was on another one.
        """
        known = combine(self.repository, found)
        if known is None:
            return found
        self.repository = known
        return known


current: ContextVar[Scope | None] = ContextVar("alumiini_scope", default=None)
_unknown = Repository(UNKNOWN)


def repository_in_scope(found: Repository | None = None) -> Repository:
    """Return the repository of the sync in progress, completed by what an operation knows of it.

    Args:
        found: What the operation knows. If it is another repository than the sync's, it is returned as it is.
    """
    scope = current.get()
    if scope is None:
        return found or _unknown
    return scope.repository if found is None else combine(scope.repository, found) or found


def surroundings() -> Mapping[str, str]:
    """Return namespace, cluster id and trigger of the sync in progress; else those of the process."""
    scope = current.get()
    if scope is not None:
        return {"namespace": scope.namespace, "cluster_id": scope.cluster_id, "trigger": scope.trigger}
    return of_process()


@cache
def of_process() -> Mapping[str, str]:
    """Return namespace, cluster id and trigger of events outside of a sync, by the keys on the bus.

    `k8s.namespace.name` and `k8s.cluster.name` of OTEL_RESOURCE_ATTRIBUTES, which is read once, as by the SDK
    (Resource SDK, "Specifying resource information via an environment variable"); else `unknown`.
    """
    pairs = (part.partition("=") for part in os.environ.get(RESOURCE_ATTRIBUTES, "").split(","))
    resource = {
        key.strip(): unquote(value.strip()) for key, separator, value in pairs if separator and value.strip()
    }
    return {
        "namespace": resource.get(attributes.K8S_NAMESPACE_NAME, UNKNOWN),
        "cluster_id": resource.get(attributes.K8S_CLUSTER_NAME, UNKNOWN),
        "trigger": "manual",
    }
