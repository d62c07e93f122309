"""Drift between git and the cluster: `alumiini.drift_detected` and `alumiini.drift_corrected`."""

from __future__ import annotations

from opentelemetry.instrumentation.alumiini.errors import as_repository
from opentelemetry.instrumentation.alumiini.events import emit, envelope
from opentelemetry.instrumentation.alumiini.repositories import Repository


def drift_detected(
    resource_kind: str,
    name: str,
    *,
    namespace: str | None = None,
    repository: Repository | str | None = None,
) -> None:
    """Emit that a resource in the cluster differs from git.

    Args:
        resource_kind: Kind of the resource.
        name: Name of the resource.
        namespace: Namespace of the resource; None: that of the sync in progress.
        repository: The repository, or its name; None: that of the sync in progress.
    """
    shared = envelope(as_repository(repository), namespace)
    emit("drift_detected", shared, resource_kind=resource_kind, name=name)


def drift_corrected(
    resource_kind: str,
    name: str,
    *,
    namespace: str | None = None,
    repository: Repository | str | None = None,
) -> None:
    """Emit that a resource in the cluster matches git again.

    Args:
        resource_kind: Kind of the resource.
        name: Name of the resource.
        namespace: Namespace of the resource; None: that of the sync in progress.
        repository: The repository, or its name; None: that of the sync in progress.
    """
    shared = envelope(as_repository(repository), namespace)
    emit("drift_corrected", shared, resource_kind=resource_kind, name=name)
