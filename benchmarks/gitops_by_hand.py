"""The telemetry of a fetch, an apply and a reconcile, written by hand as in OpenTelemetry's documentation."""

# pyright: basic
# The Kubernetes client has no types.

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter, time_ns
from types import ModuleType
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from opentelemetry._logs import SeverityNumber

Operation = Callable[[], object]

COMMIT = "9d59409acf479dfa0df1aa568182e43e43df8bbe"


class ByHand:
    """Wraps operations in the telemetry that the instrumentation emits for them, audit records left out.

    Args:
        providers: The providers, by the names of the arguments of `instrument`.
    """

    def __init__(self, providers: dict[str, Any]) -> None:
        self._tracer = providers["tracer_provider"].get_tracer("by hand", "1")
        self._logger = providers["logger_provider"].get_logger("by hand", "1")
        meter = providers["meter_provider"].get_meter("by hand", "1")
        self._operations = meter.create_counter("alumiini.git.operations", "{operation}")
        self._git_duration = meter.create_histogram("alumiini.git.duration", "ms")
        self._resources = meter.create_counter("alumiini.resources.applied", "{resource}")
        self._apply_duration = meter.create_histogram("alumiini.apply.duration", "ms")
        self._syncs = meter.create_counter("alumiini.syncs", "{sync}")
        self._sync_duration = meter.create_histogram("alumiini.sync.duration", "ms")

    def fetch(self, operation: Operation) -> object:
        """Fetch with a span, a histogram and a counter; without the event of a new revision."""
        return self._git("fetch", operation)

    def _git(self, action: str, operation: Operation) -> object:
        attributes = {
            **_both("alumiini.repo.name", "vcs.repository.name", "origin"),
            **_both("alumiini.repo.url", "vcs.repository.url.full", "/srv/git/origin"),
            **_both("alumiini.repo.branch", "vcs.ref.head.name", "main"),
            **_both("alumiini.repo.commit", "vcs.ref.head.revision", COMMIT),
            "alumiini.git.operation": action,
            "assay.correlation_id": str(uuid4()),
        }
        labels = {"repo_name": "origin", "operation": action}
        with self._tracer.start_as_current_span("alumiini.git", attributes=attributes):
            begun = perf_counter()
            result = operation()
            self._git_duration.record((perf_counter() - begun) * 1e3, labels)
            self._operations.add(1, {**labels, "outcome": "success"})
        return result

    def apply(self, operation: Operation) -> object:
        """Apply with a span, two log events, a histogram and a counter."""
        resource = {
            **_both("alumiini.repo.name", "vcs.repository.name", "unknown"),
            **_both("alumiini.cluster_id", "k8s.cluster.name", "unknown"),
            "k8s.namespace.name": "shop",
            "alumiini.resource.kind": "ConfigMap",
            "alumiini.resource.name": "counter",
            "assay.correlation_id": str(uuid4()),
        }
        labels = {"repo_name": "unknown", "resource_kind": "ConfigMap"}
        with self._tracer.start_as_current_span("alumiini.apply", attributes=resource) as span:
            begun = perf_counter()
            self._log("alumiini.apply_started", "Apply started", {**resource, "alumiini.outcome": "unknown"})
            answer = operation()
            milliseconds = (perf_counter() - begun) * 1e3
            self._apply_duration.record(milliseconds, labels)
            self._resources.add(1, labels)
            result = {
                "alumiini.outcome": "success",
                "alumiini.sync.duration_ms": milliseconds,
                "alumiini.sync.resources_applied": 1,
            }
            self._log("alumiini.apply_completed", "Apply completed", {**resource, **result})
            span.set_attribute("alumiini.sync.resources_applied", 1)
        return answer

    @contextmanager
    def in_reconciles(self, controller: ModuleType) -> Generator[None]:
        """Give the syncs of `examples/gitops` their telemetry, and each fetch, checkout and apply in them.

        Args:
            controller: The example's module.
        """
        import git  # noqa: PLC0415 - after the choice of the benchmark
        from kubernetes.dynamic import DynamicClient  # noqa: PLC0415

        def check_out(command: git.Git, *arguments: str) -> object:
            return command._call_process("checkout", *arguments)  # noqa: SLF001 - `git.Git` has no `checkout`

        with ExitStack() as patches:
            for owner, name, original, around in (
                (controller, "sync", controller.sync, self._sync),
                (git.Remote, "fetch", git.Remote.fetch, self.fetch),
                (git.Git, "checkout", check_out, partial(self._git, "checkout")),
                (DynamicClient, "server_side_apply", DynamicClient.server_side_apply, self.apply),
            ):
                patches.enter_context(patch.object(owner, name, _inside(around, original), create=True))
            yield

    def _sync(self, operation: Operation) -> object:
        """Sync with a span, two log events, a histogram and a counter."""
        sync = {
            **_both("alumiini.repo.name", "vcs.repository.name", "shop"),
            **_both("alumiini.repo.url", "vcs.repository.url.full", "http://127.0.0.1/shop"),
            **_both("alumiini.cluster_id", "k8s.cluster.name", "unknown"),
            "k8s.namespace.name": "shop",
            "assay.correlation_id": str(uuid4()),
        }
        labels = {"repo_name": "shop", "trigger": "reconcile"}
        with self._tracer.start_as_current_span("alumiini.sync", attributes=sync) as span:
            begun = perf_counter()
            self._log("alumiini.sync_started", "Sync started", {**sync, "alumiini.outcome": "unknown"})
            answer = operation()
            milliseconds = (perf_counter() - begun) * 1e3
            self._sync_duration.record(milliseconds, labels)
            self._syncs.add(1, {**labels, "outcome": "success"})
            result = {
                "alumiini.outcome": "success",
                "alumiini.sync.duration_ms": milliseconds,
                "alumiini.sync.resources_applied": 2,
            }
            revision = _both("alumiini.repo.commit", "vcs.ref.head.revision", COMMIT)
            self._log("alumiini.sync_completed", "Sync completed", {**sync, **revision, **result})
            span.set_attributes({**revision, "alumiini.sync.resources_applied": 2})
        return answer

    def _log(self, name: str, body: str, attributes: dict[str, Any]) -> None:
        self._logger.emit(
            timestamp=time_ns(),
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body=body,
            event_name=name,
            attributes={
                **attributes,
                **_both("alumiini.event.id", "log.record.uid", str(uuid4())),
                "alumiini.sync.trigger": "manual",
            },
        )


def _inside(around: Callable[[Operation], object], original: Callable[..., object]) -> Callable[..., object]:
    """Return a function that calls the original inside of its telemetry."""

    def call(*arguments: object, **named: object) -> object:
        return around(partial(original, *arguments, **named))

    return call


def _both(name: str, upstream: str, value: str) -> dict[str, str]:
    """Return an attribute under our name and under OpenTelemetry's."""
    return {name: value, upstream: value}
