"""Ticks of sensors, schedules and automation conditions: `flowstone.tick.*`, `flowstone.schedule.tick`.

Dagster's daemon records each tick when it starts and when it ends. A tick is a span between the two, current
in the daemon's thread, so that the runs that it requests are in its trace. `flowstone.sensor.poll` is the
evaluation of a sensor in its code server. `flowstone.sensor.trigger` and `flowstone.schedule.trigger` are
emitted where a run is created (`_runs.Runs.create`): its id is known there.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._event_log import NS_PER_SECOND
from opentelemetry.instrumentation.flowstone.dagster._failures import failure_of_info
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.triggers import schedule_tick, sensor_poll

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry import Span, execute, span

OPEN_LIMIT = 1000
"""Ticks that are remembered between their start and their end."""
RUN_IDS_LIMIT = 100
"""Runs of a tick that an event names."""
_PHASES = {"SUCCESS": "stop", "SKIPPED": "skipped", "FAILURE": "exception"}


def poll(call: Call) -> Foreign:
    """Wrap `SensorDefinition.evaluate_tick`."""
    sensor_poll(call.instance.name)
    return call()


class Ticks:
    """The wrappers of the functions with which Dagster records ticks."""

    def __init__(self) -> None:
        self._open: dict[object, Span] = {}

    def create(self, call: Call) -> Foreign:
        """Wrap `DagsterInstance.create_tick`, which records that a tick has started."""
        tick = call()
        self._start(tick)
        return tick

    def update(self, call: Call) -> Foreign:
        """Wrap `DagsterInstance.update_tick`, which records the tick's outcome."""
        result = call()
        self._finish(call.argument("tick"))
        return result

    @guarded
    def _start(self, tick: Foreign) -> None:
        if tick.status.name != "STARTED" or len(self._open) >= OPEN_LIMIT:
            return
        started = span("flowstone.tick", **_described(tick))
        started.__enter__()
        self._open[tick.tick_id] = started

    @guarded
    def _finish(self, tick: Foreign) -> None:
        phase = _PHASES.get(tick.status.name)
        if phase is None:
            return
        metadata = _outcome(tick)
        started = self._open.pop(tick.tick_id, None)
        if started is None:
            # Another process started it, or it is recorded as failed a second time.
            ended = tick.end_timestamp or tick.timestamp
            measurements = {
                "duration": int((ended - tick.timestamp) * NS_PER_SECOND),
                "requested_runs": len(tick.run_ids),
            }
            execute(f"flowstone.tick.{phase}", measurements, {**_described(tick), **metadata})
        else:
            _end(started, tick, phase, metadata)
        _emit_outcome(tick)


def _end(started: Span, tick: Foreign, phase: str, metadata: dict[str, Any]) -> None:
    started.metadata.update(metadata)
    started.measurements["requested_runs"] = len(tick.run_ids)
    if phase == "exception":
        started.fail(metadata["error_message"], metadata["error_type"])
    elif phase != "stop":
        started.end_as(phase)
    started.__exit__(None, None, None)


def _emit_outcome(tick: Foreign) -> None:
    kind, name = _kind_of(tick), tick.instigator_name
    if kind == "schedule":
        schedule_tick(name, run_id=next(iter(tick.run_ids), None), run_ids=_run_ids(tick))
    if tick.status.name == "FAILURE":
        failure = failure_of_info(tick.error)
        emit_error(
            failure.type,
            failure.message,
            origin=kind,
            subject=f"{kind}:{name}",
            sensor=name if kind == "sensor" else None,
            schedule=name if kind == "schedule" else None,
        )


def _described(tick: Foreign) -> dict[str, Any]:
    kind = _kind_of(tick)
    return described(
        tick_kind=kind,
        tick_id=str(tick.tick_id),
        instigator=tick.instigator_name,
        sensor=tick.instigator_name if kind == "sensor" else None,
        schedule=tick.instigator_name if kind == "schedule" else None,
        scheduled_time=_text_of(tick.timestamp) if kind == "schedule" else None,
    )


def _text_of(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).isoformat()


def _outcome(tick: Foreign) -> dict[str, Any]:
    outcome = described(skip_reason=tick.skip_reason, run_ids=_run_ids(tick))
    if tick.status.name == "FAILURE":
        failure = failure_of_info(tick.error)
        outcome.update(error_type=failure.type, error_message=failure.message)
    return outcome


def _run_ids(tick: Foreign) -> list[str] | None:
    return list(tick.run_ids)[:RUN_IDS_LIMIT] or None


def _kind_of(tick: Foreign) -> str:
    """Return `schedule`, `sensor`, or `automation` for the evaluation of automation conditions."""
    if tick.instigator_type.name == "SCHEDULE":
        return "schedule"
    is_automation = tick.tick_data.auto_materialize_evaluation_id is not None
    return "automation" if is_automation or tick.instigator_type.name == "AUTO_MATERIALIZE" else "sensor"
