"""Sensors and schedules: `flowstone.sensor.poll`, `flowstone.sensor.trigger`, `flowstone.schedule.tick`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import execute


def sensor_poll(sensor: str) -> None:
    """Emit that a sensor was evaluated."""
    execute("flowstone.sensor.poll", None, described(sensor=sensor))


def sensor_trigger(sensor: str, run_id: str) -> None:
    """Emit that a sensor requested a run."""
    execute("flowstone.sensor.trigger", None, described(sensor=sensor, run_id=run_id))


def schedule_tick(schedule: str, *, run_id: str | None = None) -> None:
    """Emit that a schedule was evaluated.

    Args:
        schedule: Name of the schedule.
        run_id: The run that it requested, if that is known.
    """
    execute("flowstone.schedule.tick", None, described(schedule=schedule, run_id=run_id))
