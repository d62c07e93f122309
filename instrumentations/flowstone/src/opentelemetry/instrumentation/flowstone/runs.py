"""Runs: `flowstone.run.*`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import Span, execute, span


def run(run_id: str, job: str, *, actor: str | None = None, **metadata: object) -> Span:
    """Return the span of a run; the events inside get `run_id` as their correlation id.

    Args:
        run_id: Identifies the run.
        job: Name of the job.
        actor: Who asked for it.
        metadata: Further metadata of the events.
    """
    return span("flowstone.run", **described(run_id=run_id, job=job, actor=actor, **metadata))


def run_queued(run_id: str, job: str, *, actor: str | None = None) -> None:
    """Emit that a run is queued."""
    execute("flowstone.run.queued", None, described(run_id=run_id, job=job, actor=actor))


def run_canceled(run_id: str, job: str, *, actor: str | None = None) -> None:
    """Emit that a run was cancelled."""
    execute("flowstone.run.canceled", None, described(run_id=run_id, job=job, actor=actor))
