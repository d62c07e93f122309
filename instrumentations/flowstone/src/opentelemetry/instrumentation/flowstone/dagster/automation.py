"""Sensors' polls and schedules' ticks: `flowstone.sensor.poll`, `flowstone.schedule.tick`.

What a sensor triggers is told where the run is created (`runs.Runs.create`): that is where its id is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster.failures import message_of, user_error
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.errors import error as tell_error
from opentelemetry.instrumentation.flowstone.triggers import schedule_tick, sensor_poll
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from assay.telemetry.spans import qualified_name


def poll(
    wrapped: Callable[..., Any],
    instance: Foreign,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Foreign:
    """Wrap `SensorDefinition.evaluate_tick`."""
    return _evaluated(sensor_poll, wrapped, instance, args, kwargs)


def tick(
    wrapped: Callable[..., Any],
    instance: Foreign,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Foreign:
    """Wrap `ScheduleDefinition.evaluate_tick`."""
    return _evaluated(schedule_tick, wrapped, instance, args, kwargs)


def _evaluated(
    tell: Callable[[str], None],
    wrapped: Callable[..., Any],
    definition: Foreign,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Foreign:
    if not is_instrumentation_enabled():
        return wrapped(*args, **kwargs)
    guarded(tell)(definition.name)
    try:
        return wrapped(*args, **kwargs)
    except Exception as error:
        _tell_error(error)
        raise


@guarded
def _tell_error(error: Exception) -> None:
    cause = user_error(error)
    tell_error(qualified_name(type(cause)), message_of(cause))
