"""Runs: `flowstone.run.*`, and the runs that sensors request: `flowstone.sensor.trigger`.

A run's start and its outcome are reported where Dagster stores them (`_event_log`): in the process that
executes the run, or in the daemon or webserver that marks a run as failed whose process died. The span is
that of the execution. A process that stops executing a run without an outcome, such as one that is evicted,
ends its span as `interrupted`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._cause import cause_of
from opentelemetry.instrumentation.flowstone.dagster._event_log import (
    NS_PER_SECOND,
    RUN_CANCELED,
    RUN_FAILED,
    RUN_SUCCEEDED,
    Report,
    Stored,
)
from opentelemetry.instrumentation.flowstone.dagster._failures import type_of_failure
from opentelemetry.instrumentation.flowstone.dagster._names import SENSOR_TAG
from opentelemetry.instrumentation.flowstone.dagster._steps import Steps
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.runs import run
from opentelemetry.instrumentation.flowstone.triggers import sensor_trigger

from assay.instrumentation import Call, Foreign, Hooks, Operation, follow
from assay.telemetry import execute

RUN_QUEUED, RUN_DEQUEUED, RUN_STARTED = "PIPELINE_ENQUEUED", "PIPELINE_DEQUEUED", "PIPELINE_START"
RUN_CANCELING = "PIPELINE_CANCELING"
_PHASES = {RUN_SUCCEEDED: "stop", RUN_FAILED: "exception", RUN_CANCELED: "canceled"}
_RUN = "_flowstone_run"


class Run:
    """The execution of one run in this process; follows the generator of its events.

    Args:
        dagster_run: The run.
        hooks: The user's hooks.
        executed: The runs that this process executes, by their ids.
    """

    def __init__(self, dagster_run: Foreign, hooks: Hooks, executed: dict[str, Run]) -> None:
        self._run_id: str = dagster_run.run_id
        self._executed = executed
        self._operation = Operation(
            run(dagster_run.run_id, dagster_run.job_name, **cause_of(dagster_run)),
            dagster_run,
            request_hook=hooks["run_request_hook"],
            response_hook=hooks["run_response_hook"],
        )
        self.is_open = False

    def start(self) -> None:
        """Take note of the run; its span starts when Dagster has stored its start."""
        self._executed[self._run_id] = self

    def item(self, item: object) -> None:
        """Ignore the run's events, which are reported when they are stored."""

    def open(self) -> None:
        """Start the span."""
        self._operation.__enter__()
        self.is_open = True

    def close(self, event: Foreign) -> None:
        """End the span with the event that decides the run's outcome."""
        self.is_open = False
        operation, span = self._operation, self._operation.span
        operation.result = event
        if event.event_type_value == RUN_CANCELED:
            span.end_as("canceled")
        elif event.event_type_value == RUN_FAILED:
            failure = _failure_of(event)
            span.metadata.update(failure)
            span.fail(failure["error_message"], failure["error_type"])
        operation.__exit__(None, None, None)

    def end(self, error: BaseException | None) -> None:
        """End the span without an outcome, if Dagster has stored none."""
        del error
        self._executed.pop(self._run_id, None)
        if self.is_open:
            self.is_open = False
            self._operation.span.end_as("interrupted")
            self._operation.__exit__(None, None, None)


class Runs:
    """The wrappers of Dagster's functions for runs, and the reports of what it stores about them.

    Args:
        hooks: The user's hooks.
        steps: Reports what a run that died leaves unfinished.
    """

    def __init__(self, hooks: Hooks, steps: Steps) -> None:
        self._hooks = hooks
        self._steps = steps
        self._creating = threading.local()
        self._executed: dict[str, Run] = {}

    def reports(self) -> Mapping[str, Report]:
        """Return the reports of the events that concern runs, by the type of event."""
        return {
            RUN_QUEUED: self._report_queued,
            RUN_DEQUEUED: self._report_dequeued,
            RUN_CANCELING: self._report_canceling,
            RUN_STARTED: self._report_start,
            RUN_SUCCEEDED: self._report_end,
            RUN_FAILED: self._report_end,
            RUN_CANCELED: self._report_end,
        }

    def remember(self, call: Call) -> None:
        """Wrap `PlanOrchestrationContextManager.__init__`, which gets the run before anything happens."""
        call()
        setattr(call.instance, _RUN, call.argument("dagster_run"))

    def iterate(self, call: Call) -> Foreign:
        """Wrap `ExecuteRunWithPlanIterable.__iter__`, which is a run from its first event to its last.

        A single step, as in a child process, goes through it too, with another context manager.
        """
        dagster_run = getattr(call.instance.execution_context_manager, _RUN, None)
        if dagster_run is None:
            return call()
        return follow(call(), Run(dagster_run, self._hooks, self._executed))

    def create(self, call: Call) -> Foreign:
        """Wrap `create_run`: a run that a sensor requested carries the sensor's name.

        The instance's calls that of its run domain, if it has one: the outer of the two emits the event.
        """
        if getattr(self._creating, "is_on", False):
            return call()
        self._creating.is_on = True
        try:
            dagster_run = call()
        finally:
            self._creating.is_on = False
        sensor = dagster_run.tags.get(SENSOR_TAG)
        if sensor and dagster_run.parent_run_id is None:
            sensor_trigger(sensor, dagster_run.run_id)
        return dagster_run

    @staticmethod
    def _report_queued(stored: Stored) -> None:
        execute("flowstone.run.queued", None, _describe(stored, stored.instance.get_run_by_id(stored.run_id)))

    @staticmethod
    def _report_dequeued(stored: Stored) -> None:
        record = stored.instance.get_run_record_by_id(stored.run_id)
        if record is None:
            return
        queued = int(record.create_timestamp.timestamp() * NS_PER_SECOND)
        measurements = {"queue_time": max(0, stored.time - queued)}
        execute("flowstone.run.dequeued", measurements, _describe(stored, record.dagster_run))

    @staticmethod
    def _report_canceling(stored: Stored) -> None:
        execute("flowstone.run.canceling", None, described(run_id=stored.run_id, job=stored.job))

    def _report_start(self, stored: Stored) -> None:
        executed = self._executed.get(stored.run_id)
        if executed is not None:
            executed.open()

    def _report_end(self, stored: Stored) -> None:
        executed = self._executed.get(stored.run_id)
        if stored.run_before is not None and stored.run_before.dagster_run.is_finished:
            return  # Dagster may store a second end, such as that of a process that was given up
        if executed is None:
            self._steps.abandon(stored)
        if executed is not None and executed.is_open:
            executed.close(stored.event)
            return
        _emit_end(stored)
        if executed is None and stored.kind == RUN_FAILED:
            failure = _failure_of(stored.event)
            emit_error(
                failure["error_type"],
                failure["error_message"],
                run_id=stored.run_id,
                origin="run",
                subject=f"job:{stored.job}",
                job=stored.job,
            )


def _emit_end(stored: Stored) -> None:
    """Report the end of a run that has no span in this process, with the times that Dagster recorded."""
    measurements: dict[str, int] = {}
    record = stored.run_before
    metadata = _describe(stored, None if record is None else record.dagster_run)
    if record is not None:
        began = record.start_time or record.create_timestamp.timestamp()
        measurements["duration"] = max(0, stored.time - int(began * NS_PER_SECOND))
    if stored.kind == RUN_FAILED:
        metadata.update(_failure_of(stored.event))
    execute(f"flowstone.run.{_PHASES[stored.kind]}", measurements, metadata)


def _describe(stored: Stored, dagster_run: Foreign) -> dict[str, Any]:
    cause = {} if dagster_run is None else cause_of(dagster_run)
    return described(run_id=stored.run_id, job=stored.job, **cause)


def _failure_of(event: Foreign) -> dict[str, str]:
    return {"error_type": type_of_failure(event), "error_message": event.message or "the run failed"}
