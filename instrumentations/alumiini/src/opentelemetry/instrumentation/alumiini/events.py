"""The event envelope of ALUMIINI: one class for all its event types.

```python
from opentelemetry.instrumentation.alumiini import AlumiiniEvent

event = AlumiiniEvent("drift_detected", "my-app", attributes={"resource_kind": "Service", "name": "web"})
event.emit()
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import time_ns
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.errors import EventError
from opentelemetry.instrumentation.alumiini.repositories import Repository

from assay.telemetry import execute
from assay.telemetry.correlation import new_id

EventType: TypeAlias = Literal[
    "sync_started",
    "sync_completed",
    "sync_failed",
    "git_fetched",
    "git_cloned",
    "apply_started",
    "apply_completed",
    "apply_failed",
    "drift_detected",
    "drift_corrected",
    "worker_started",
    "worker_stopped",
    "webhook_received",
]
Severity: TypeAlias = Literal["info", "warning", "error", "critical"]
Outcome: TypeAlias = Literal["success", "failure", "timeout", "unknown"]
Trigger: TypeAlias = Literal["webhook", "poll", "reconcile", "startup", "manual"]

_SEVERITIES: Mapping[str, Severity] = MappingProxyType(
    {"sync_failed": "error", "apply_failed": "error", "drift_detected": "warning"}
)
_OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        "sync_started": "unknown",
        "apply_started": "unknown",
        "sync_failed": "failure",
        "apply_failed": "failure",
    }
)
_CHOICES = {"type": EventType, "outcome": Outcome, "trigger": Trigger}


@dataclass(frozen=True, slots=True)
class AlumiiniEvent:
    """One event. A required field that is not given has the value of the sync in progress, or of the process.

    Args:
        type: Its type.
        repo_name: Name of the repository; empty: of the sync in progress, else `unknown`.
        namespace: Namespace; empty: of the sync in progress, else `k8s.namespace.name` of
            OTEL_RESOURCE_ATTRIBUTES, else `unknown`.
        cluster_id: Id of the cluster; empty: as for the namespace, with `k8s.cluster.name`.
        trigger: Trigger; empty: of the sync in progress, else `manual`.
        outcome: Outcome; empty: that of the type.
        commit: Revision.
        branch: Branch.
        resources_applied: Number of applied resources.
        duration_ms: Duration, in milliseconds.
        error_type: Type of the error.
        error_message: Message of the error.
        attributes: Further values, by their keys on the bus, such as `resource_kind`.
        id: Identifies the event; a UUID.
        timestamp: When it happened; with a time zone.

    Raises:
        EventError: A value is not one of its choices, or the timestamp has no time zone.
    """

    type: EventType
    repo_name: str = ""
    namespace: str = ""
    cluster_id: str = ""
    trigger: Trigger | Literal[""] = ""
    outcome: Outcome | Literal[""] = ""
    commit: str | None = None
    branch: str | None = None
    resources_applied: int | None = None
    duration_ms: float | None = None
    error_type: str | None = None
    error_message: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = field(default_factory=new_id)
    timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def __post_init__(self) -> None:
        """Fill in the required fields, and check the choices."""
        around = _scope.surroundings()
        values = {
            "repo_name": self.repo_name or _scope.repository_in_scope().name,
            "namespace": self.namespace or around["namespace"],
            "cluster_id": self.cluster_id or around["cluster_id"],
            "trigger": self.trigger or around["trigger"],
            "outcome": self.outcome or _OUTCOMES.get(self.type, "success"),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise EventError(
                    f"{name} is {getattr(self, name)!r}, which is not one of {', '.join(get_args(choices))}"
                )
        if self.timestamp.tzinfo is None:
            raise EventError(f"the timestamp {self.timestamp} has no time zone; give it one")

    @property
    def severity(self) -> Severity:
        """Severity of the event; its type determines it."""
        return _SEVERITIES.get(self.type, "info")

    def emit(self) -> None:
        """Emit the event `alumiini.<type>` on the bus."""
        measurements: dict[str, Any] = {"system_time": _nanoseconds(self.timestamp)}
        if self.duration_ms is not None:
            measurements["duration"] = round(self.duration_ms * 1e6)
        if self.resources_applied is not None:
            measurements["resources_applied"] = self.resources_applied
        execute(f"alumiini.{self.type}", measurements, self._metadata())

    def _metadata(self) -> dict[str, Any]:
        values = {
            "id": self.id,
            "repo_name": self.repo_name,
            "namespace": self.namespace,
            "cluster_id": self.cluster_id,
            "trigger": self.trigger,
            "outcome": self.outcome,
            "commit": self.commit,
            "branch": self.branch,
            "error_type": self.error_type,
            "error_message": self.error_message,
            **self.attributes,
        }
        return _known(values)


def described(repository: Repository) -> dict[str, Any]:
    """Return what is known of a repository, by the keys on the bus."""
    known: dict[str, Any] = {"repo_name": repository.name}
    if repository.url is not None:
        known["repo_url"] = repository.url
    if repository.branch is not None:
        known["branch"] = repository.branch
    if repository.commit is not None:
        known["commit"] = repository.commit
    if repository.path is not None:
        known["path"] = repository.path
    return known


def envelope(repository: Repository | None = None, namespace: str | None = None) -> dict[str, Any]:
    """Return the values that all events about a repository share, by the keys on the bus.

    Args:
        repository: The repository; None: that of the sync in progress.
        namespace: Namespace; None: that of the sync in progress.
    """
    shared = {**described(repository or _scope.repository_in_scope()), **_scope.surroundings()}
    if namespace:
        shared["namespace"] = namespace
    return shared


def emit(
    type: EventType,  # noqa: A002 - the envelope's name for it
    shared: Mapping[str, Any],
    *,
    outcome: Outcome | Literal[""] = "",
    duration_ns: int | None = None,
    resources_applied: int | None = None,
    **values: object,
) -> None:
    """Emit an event about a repository.

    Args:
        type: Type of the event.
        shared: What it shares with other events: `envelope`, and any others.
        outcome: Outcome; empty: that of the type.
        duration_ns: Duration, in nanoseconds.
        resources_applied: Number of applied resources.
        values: Further values, by their keys on the bus.
    """
    # Without an `AlumiiniEvent`, whose checks are for values that a program gives.
    measurements: dict[str, Any] = {"system_time": time_ns()}
    if duration_ns is not None:
        measurements["duration"] = duration_ns
    if resources_applied is not None:
        measurements["resources_applied"] = resources_applied
    metadata = {**shared, "id": new_id(), "outcome": outcome or _OUTCOMES.get(type, "success"), **values}
    execute(f"alumiini.{type}", measurements, metadata)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
