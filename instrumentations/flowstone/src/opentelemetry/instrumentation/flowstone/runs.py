"""Runs: `flowstone.run.*`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import Span, execute, span


def run(run_id: str, job: str, *, actor: str | None = None, **metadata: object) -> Span:
    """Return the span of a whole run; what happens inside is correlated by `run_id`.

    Args:
        run_id: Identifies the run.
        job: Name of the job.
        actor: Who asked for it.
        metadata: Whatever else the events shall carry.
    """
    return span("flowstone.run", **described(run_id=run_id, job=job, actor=actor, **metadata))


def run_queued(run_id: str, job: str, *, actor: str | None = None) -> None:
    """Tell that a run waits for its turn."""
    execute("flowstone.run.queued", None, described(run_id=run_id, job=job, actor=actor))


def run_canceled(run_id: str, job: str, *, actor: str | None = None) -> None:
    """Tell that a run was cancelled."""
    execute("flowstone.run.canceled", None, described(run_id=run_id, job=job, actor=actor))
