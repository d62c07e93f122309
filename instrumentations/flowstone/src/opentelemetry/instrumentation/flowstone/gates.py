"""Signal gates and rate limits, as built: `flowstone.signal_gate.*` and `flowstone.rate_limit.*`."""

from __future__ import annotations

from typing import Literal

from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import execute


def signal_gate(
    action: Literal["create", "signal", "timeout", "timeout_retry", "cancel"],
    *,
    run_id: str | None = None,
    **metadata: object,
) -> None:
    """Tell what a signal gate did.

    Args:
        action: What it did; the last part of the event's name.
        run_id: The run that waits at the gate.
        metadata: What else describes it.
    """
    execute(f"flowstone.signal_gate.{action}", None, described(run_id=run_id, **metadata))


def rate_limit(
    action: Literal["check", "wait", "slot_acquired", "slot_released"],
    *,
    run_id: str | None = None,
    **metadata: object,
) -> None:
    """Tell what a rate limit did.

    Args:
        action: What it did; the last part of the event's name.
        run_id: The run that is limited.
        metadata: What else describes it.
    """
    execute(f"flowstone.rate_limit.{action}", None, described(run_id=run_id, **metadata))
