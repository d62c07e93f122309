"""The names that the design of each subsystem requires: its seed. The registry defines more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.semconv import CATALOGUE


@dataclass(frozen=True)
class Seed:
    """The names of one subsystem.

    Args:
        events: Log events, and the events of spans.
        metrics: Instruments.
    """

    events: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the series on `/metrics`, by the registry."""
        return tuple(CATALOGUE.metrics[name].series for name in self.metrics)


SEEDS: Mapping[str, Seed] = {
    "flowstone": Seed(
        events=(
            "flowstone.materialization",
            "flowstone.io.load",
            "flowstone.io.store",
            "flowstone.checkpoint.requested",
            "flowstone.checkpoint.approved",
            "flowstone.checkpoint.rejected",
            "flowstone.checkpoint.timeout",
            "flowstone.resource.health_check",
            "flowstone.sensor.poll",
            "flowstone.sensor.trigger",
            "flowstone.error",
        ),
        metrics=(
            "flowstone.materialization.start.count",
            "flowstone.materialization.stop.count",
            "flowstone.materialization.duration",
            "flowstone.io.load.count",
            "flowstone.io.load.duration",
            "flowstone.io.load.size_bytes",
            "flowstone.io.store.count",
            "flowstone.io.store.duration",
            "flowstone.io.store.size_bytes",
            "flowstone.checkpoint.requested.count",
            "flowstone.checkpoint.approved.count",
            "flowstone.checkpoint.rejected.count",
            "flowstone.checkpoint.approval_time",
            "flowstone.error.count",
            "flowstone.resource.healthy",
        ),
    ),
    "alumiini": Seed(
        events=(
            "alumiini.sync",
            "alumiini.git",
            "alumiini.apply",
            "alumiini.sync_started",
            "alumiini.sync_completed",
            "alumiini.sync_failed",
            "alumiini.git_fetched",
            "alumiini.git_cloned",
            "alumiini.apply_started",
            "alumiini.apply_completed",
            "alumiini.apply_failed",
            "alumiini.drift_detected",
            "alumiini.drift_corrected",
            "alumiini.worker_started",
            "alumiini.worker_stopped",
            "alumiini.webhook_received",
            "alumiini.cache.access",
            "alumiini.worker.count",
            "alumiini.worker.restart",
            "alumiini.error",
        ),
        metrics=(
            "alumiini.syncs",
            "alumiini.sync.duration",
            "alumiini.resources.applied",
            "alumiini.git.operations",
            "alumiini.git.duration",
            "alumiini.workers.active",
            "alumiini.workers.restarts",
            "alumiini.cache",
            "alumiini.errors",
            "alumiini.apply.duration",
        ),
    ),
    "snakepit": Seed(
        events=("snakepit.request", "snakepit.request.completed"),
        metrics=(
            "snakepit.requests",
            "snakepit.pool.available_workers",
            "snakepit.pool.busy_workers",
            "snakepit.pool.queue_size",
            "snakepit.request.duration",
            "snakepit.request.queue_time",
        ),
    ),
}
