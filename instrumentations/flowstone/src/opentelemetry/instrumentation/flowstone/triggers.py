"""Sensors and schedules: `flowstone.sensor.poll` and `.trigger`, `flowstone.schedule.tick` and `.trigger`."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import execute


def sensor_poll(sensor: str) -> None:
    """Emit that a sensor was evaluated."""
    execute("flowstone.sensor.poll", None, described(sensor=sensor))


def sensor_trigger(sensor: str, run_id: str) -> None:
    """Emit that a sensor requested a run."""
    execute("flowstone.sensor.trigger", None, described(sensor=sensor, run_id=run_id))


def schedule_tick(schedule: str, *, run_id: str | None = None, run_ids: Sequence[str] | None = None) -> None:
    """Emit that a schedule was evaluated.

    Args:
        schedule: Name of the schedule.
        run_id: The run that it requested, if that is known.
        run_ids: All runs that it requested.
    """
    execute("flowstone.schedule.tick", None, described(schedule=schedule, run_id=run_id, run_ids=run_ids))


def schedule_trigger(schedule: str, run_id: str) -> None:
    """Emit that a schedule requested a run."""
    execute("flowstone.schedule.trigger", None, described(schedule=schedule, run_id=run_id))
