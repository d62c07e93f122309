"""Resources: `flowstone.resource.health_check`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import execute


def resource_health(resource: str, *, healthy: bool, run_id: str | None = None) -> None:
    """Emit the result of a resource's health check.

    Args:
        resource: Name of the resource; a label of the series.
        healthy: Whether the resource can be used.
        run_id: The run that checked it, if one did.
    """
    execute(
        "flowstone.resource.health_check",
        None,
        described(resource=resource, healthy=healthy, run_id=run_id),
    )
