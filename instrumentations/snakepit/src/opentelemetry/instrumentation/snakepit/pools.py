"""Pools and their queues: `snakepit.pool.*`."""

from __future__ import annotations

from typing import Literal

from opentelemetry.instrumentation.snakepit._metadata import described

from assay.telemetry import execute


def pool_started(pool_name: str, phase: Literal["init_started", "init_complete", "initialized"]) -> None:
    """Emit a step of a pool's start.

    Args:
        pool_name: Name of the pool.
        phase: Last part of the event's name.
    """
    execute(f"snakepit.pool.{phase}", None, {"pool_name": pool_name})


def pool_status(pool_name: str, *, available_workers: int, busy_workers: int, queue_size: int) -> None:
    """Emit the state of a pool; its gauges show it.

    Args:
        pool_name: Name of the pool; a label of the series.
        available_workers: Workers that could start a request now.
        busy_workers: Workers that handle a request.
        queue_size: Requests that wait for a worker.
    """
    execute(
        "snakepit.pool.status",
        {"available_workers": available_workers, "busy_workers": busy_workers, "queue_size": queue_size},
        {"pool_name": pool_name},
    )


def pool_queue(
    action: Literal["enqueued", "dequeued", "timeout"],
    pool_name: str,
    *,
    request_id: str | None = None,
    queue_size: int | None = None,
) -> None:
    """Emit that a request entered the queue of a pool, left it, or waited too long.

    Args:
        action: Last part of the event's name.
        pool_name: Name of the pool.
        request_id: The request.
        queue_size: Requests that wait afterwards.
    """
    execute(
        f"snakepit.pool.queue.{action}",
        described(queue_size=queue_size),
        described(pool_name=pool_name, request_id=request_id),
    )


def pool_worker(
    action: Literal["spawn_started", "spawned", "ready", "spawn_failed", "terminated", "restarted"],
    pool_name: str,
    worker_id: str,
    *,
    reason: str | None = None,
) -> None:
    """Emit a step in the life of a pool's worker.

    Args:
        action: Last part of the event's name; `ready` is `snakepit.pool.worker_ready`.
        pool_name: Name of the pool.
        worker_id: The worker.
        reason: The reason.
    """
    event = "snakepit.pool.worker_ready" if action == "ready" else f"snakepit.pool.worker.{action}"
    execute(event, None, described(pool_name=pool_name, worker_id=worker_id, reason=reason))
