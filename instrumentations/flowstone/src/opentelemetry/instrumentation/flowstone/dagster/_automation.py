"""Sensors' evaluations and schedules' ticks: `flowstone.sensor.poll`, `flowstone.schedule.tick`.

`flowstone.sensor.trigger` is emitted where a run is created (`_runs.Runs.create`): its id is known there.
"""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.dagster._failures import message_of, user_error
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.triggers import schedule_tick, sensor_poll

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry.spans import qualified_name


def poll(call: Call) -> Foreign:
    """Wrap `SensorDefinition.evaluate_tick`."""
    sensor_poll(call.instance.name)
    return _evaluated(call, "sensor")


def tick(call: Call) -> Foreign:
    """Wrap `ScheduleDefinition.evaluate_tick`."""
    schedule_tick(call.instance.name)
    return _evaluated(call, "schedule")


def _evaluated(call: Call, origin: str) -> Foreign:
    try:
        return call()
    except Exception as error:
        _emit_error(error, origin, call.instance.name)
        raise


@guarded
def _emit_error(error: Exception, origin: str, name: str) -> None:
    cause = user_error(error)
    emit_error(
        qualified_name(type(cause)),
        message_of(cause),
        origin=origin,
        subject=f"{origin}:{name}",
        sensor=name if origin == "sensor" else None,
        schedule=name if origin == "schedule" else None,
    )
