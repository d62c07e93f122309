"""Sessions: `snakepit.session.*`, each an audit record."""

from __future__ import annotations

from typing import Literal

from opentelemetry.instrumentation.snakepit._metadata import described

from assay.telemetry import execute


def session(
    action: Literal["created", "destroyed"], session_id: str, *, correlation_id: str | None = None
) -> None:
    """Emit that a session was created or destroyed.

    Args:
        action: Last part of the event's name.
        session_id: The session.
        correlation_id: Correlation id of its cause; None is the current one.
    """
    execute(
        f"snakepit.session.{action}", None, described(session_id=session_id, correlation_id=correlation_id)
    )


def session_affinity(
    action: Literal["assigned", "broken"], session_id: str, *, worker_id: str | None = None
) -> None:
    """Emit that a session was assigned to a worker, or lost its worker.

    Args:
        action: Last part of the event's name.
        session_id: The session.
        worker_id: The worker.
    """
    execute(
        f"snakepit.session.affinity.{action}", None, described(session_id=session_id, worker_id=worker_id)
    )
