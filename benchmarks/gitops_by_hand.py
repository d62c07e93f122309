"""The telemetry of a fetch and of an apply, written by hand as in OpenTelemetry's documentation."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, time_ns
from typing import Any
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
        self._fetches = meter.create_counter("alumiini.git.operations", "{operation}")
        self._fetch_duration = meter.create_histogram("alumiini.git.duration", "ms")
        self._resources = meter.create_counter("alumiini.resources.applied", "{resource}")
        self._apply_duration = meter.create_histogram("alumiini.apply.duration", "ms")

    def fetch(self, operation: Operation) -> None:
        """Fetch with a span, a histogram and a counter; without the event of a new revision."""
        attributes = {
            **_both("alumiini.repo.name", "vcs.repository.name", "origin"),
            **_both("alumiini.repo.url", "vcs.repository.url.full", "/srv/git/origin"),
            **_both("alumiini.repo.branch", "vcs.ref.head.name", "main"),
            **_both(
                "alumiini.repo.commit", "vcs.ref.head.revision", "9d59409acf479dfa0df1aa568182e43e43df8bbe"
            ),
            "alumiini.git.operation": "fetch",
            "assay.correlation_id": str(uuid4()),
        }
        labels = {"repo_name": "origin", "operation": "fetch"}
        with self._tracer.start_as_current_span("alumiini.git", attributes=attributes):
            begun = perf_counter()
            operation()
            self._fetch_duration.record((perf_counter() - begun) * 1e3, labels)
            self._fetches.add(1, {**labels, "outcome": "success"})

    def apply(self, operation: Operation) -> None:
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
            operation()
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


def _both(name: str, upstream: str, value: str) -> dict[str, str]:
    """Return an attribute under our name and under OpenTelemetry's."""
    return {name: value, upstream: value}
