"""Signal gates and rate limits: `flowstone.signal_gate.*` and `flowstone.rate_limit.*`."""

from __future__ import annotations

from typing import Literal

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import execute


def signal_gate(
    action: Literal["create", "signal", "timeout", "timeout_retry", "cancel"],
    *,
    run_id: str | None = None,
    **metadata: object,
) -> None:
    """Emit the event of a signal gate.

    Args:
        action: Last part of the event's name.
        run_id: The run that waits at the gate.
        metadata: Further metadata of the event.
    """
    execute(f"flowstone.signal_gate.{action}", None, described(run_id=run_id, **metadata))


def rate_limit(
    action: Literal["check", "wait", "slot_acquired", "slot_released"],
    *,
    run_id: str | None = None,
    **metadata: object,
) -> None:
    """Emit the event of a rate limit.

    Args:
        action: Last part of the event's name.
        run_id: The run that is limited.
        metadata: Further metadata of the event.
    """
    execute(f"flowstone.rate_limit.{action}", None, described(run_id=run_id, **metadata))
