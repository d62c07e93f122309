"""What starts runs: `flowstone.sensor.poll`, `flowstone.sensor.trigger`, `flowstone.schedule.tick`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import execute


def sensor_poll(sensor: str) -> None:
    """Tell that a sensor has looked."""
    execute("flowstone.sensor.poll", None, described(sensor=sensor))


def sensor_trigger(sensor: str, run_id: str) -> None:
    """Tell that a sensor has caused a run."""
    execute("flowstone.sensor.trigger", None, described(sensor=sensor, run_id=run_id))


def schedule_tick(schedule: str, *, run_id: str | None = None) -> None:
    """Tell that a schedule has come due.

    Args:
        schedule: Name of the schedule.
        run_id: The run it caused, where that is known.
    """
    execute("flowstone.schedule.tick", None, described(schedule=schedule, run_id=run_id))
