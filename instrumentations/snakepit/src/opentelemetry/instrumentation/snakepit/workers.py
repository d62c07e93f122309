"""Workers and their heartbeats: `snakepit.worker.*`, `snakepit.heartbeat.*`."""

from __future__ import annotations

from typing import Literal

from opentelemetry.instrumentation.snakepit._metadata import described

from assay.telemetry import execute


def worker_crashed(  # noqa: PLR0913 - the event's metadata
    pool_name: str,
    worker_id: str,
    *,
    reason: str | None = None,
    error_type: str | None = None,
    error_message: str | None = None,
    error_class: str = "worker",
) -> None:
    """Emit that a worker crashed; CDEvents: `incident.detected`.

    Args:
        pool_name: Name of the pool.
        worker_id: The worker.
        reason: Why, such as `SIGKILL` or `exit code 3`.
        error_type: Type of the error that the pool raises for it.
        error_message: Its message.
        error_class: `system` if the machine is the cause, such as a lack of memory; else `worker`.
    """
    execute(
        "snakepit.worker.crash",
        None,
        described(
            pool_name=pool_name,
            worker_id=worker_id,
            reason=reason,
            error_type=error_type,
            error_message=error_message,
            error_class=error_class,
        ),
    )


def worker_changed(
    action: Literal["recycled", "tainted", "restarted"],
    pool_name: str,
    worker_id: str,
    *,
    reason: str | None = None,
) -> None:
    """Emit that a worker was recycled as planned, tainted, or restarted after a crash.

    Args:
        action: Last part of the event's name. `restarted` ends the incident of the worker's crash.
        pool_name: Name of the pool; a label of the series.
        worker_id: The worker.
        reason: Why, such as `max_tasks`; a label of the series.
    """
    execute(
        f"snakepit.worker.{action}",
        None,
        described(pool_name=pool_name, worker_id=worker_id, reason=reason),
    )


def heartbeat(
    action: Literal[
        "monitor_started",
        "monitor_stopped",
        "monitor_failure",
        "ping_sent",
        "pong_received",
        "heartbeat_timeout",
    ],
    worker_id: str,
    *,
    pool_name: str | None = None,
    latency: int | None = None,
    reason: str | None = None,
) -> None:
    """Emit an event of the monitor of a worker's heartbeat.

    Args:
        action: Last part of the event's name.
        worker_id: The worker; a label of the series.
        pool_name: Name of its pool.
        latency: Time that the worker took to answer, in nanoseconds (`pong_received`).
        reason: Why the monitor failed (`monitor_failure`).
    """
    execute(
        f"snakepit.heartbeat.{action}",
        described(latency=latency),
        described(worker_id=worker_id, pool_name=pool_name, reason=reason),
    )
