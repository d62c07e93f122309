"""Runs: `flowstone.run.*`, and the runs that sensors request: `flowstone.sensor.trigger`."""

from __future__ import annotations

import threading

from opentelemetry.instrumentation.flowstone.dagster._failures import (
    message_of,
    type_of_failure,
    user_error,
)
from opentelemetry.instrumentation.flowstone.dagster._names import SENSOR_TAG, USER_TAG
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.runs import run, run_canceled, run_queued
from opentelemetry.instrumentation.flowstone.triggers import sensor_trigger

from assay.instrumentation import Call, Foreign, Hooks, Operation, follow, guarded
from assay.telemetry.spans import qualified_name

QUEUED, FAILED, CANCELED = "PIPELINE_ENQUEUED", "PIPELINE_FAILURE", "PIPELINE_CANCELED"
_ENDS = frozenset({"PIPELINE_SUCCESS", FAILED, CANCELED})
_RUN = "_flowstone_run"


class Run:
    """One run, in the process that executes it; follows the generator of its events.

    Args:
        dagster_run: The run.
        hooks: The user's hooks.
    """

    def __init__(self, dagster_run: Foreign, hooks: Hooks) -> None:
        self._operation = Operation(
            run(dagster_run.run_id, dagster_run.job_name, actor=dagster_run.tags.get(USER_TAG)),
            dagster_run,
            request_hook=hooks["run_request_hook"],
            response_hook=hooks["run_response_hook"],
        )
        self._last: Foreign = None

    def start(self) -> None:
        """Start the span."""
        self._operation.__enter__()

    def item(self, item: Foreign) -> None:
        """Note the event that ends the run."""
        if getattr(item, "event_type_value", None) in _ENDS:
            self._last = item
            self._operation.result = item

    def end(self, error: BaseException | None) -> None:
        """End the span."""
        operation, span = self._operation, self._operation.span
        last: Foreign = self._last
        kind = getattr(last, "event_type_value", None)
        if kind == CANCELED:
            span.end_as("canceled")
        elif error is not None and not isinstance(error, GeneratorExit):
            cause = user_error(error)
            span.metadata.update(error_type=qualified_name(type(cause)), error_message=message_of(cause))
            operation.__exit__(type(cause), cause, cause.__traceback__)
            return
        elif kind == FAILED:
            failure, message = type_of_failure(last), last.message or "the run failed"
            span.metadata.update(error_type=failure, error_message=message)
            span.fail(message, failure)
        operation.__exit__(None, None, None)


class Runs:
    """The wrappers of Dagster's functions for runs.

    Args:
        hooks: The user's hooks.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._creating = threading.local()

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
        followed = Run(dagster_run, self._hooks)
        return follow(call(), followed)

    def report(self, call: Call) -> Foreign:
        """Wrap `DagsterInstance.report_dagster_event`: changes of a run from outside of it."""
        result = call()
        _emit_reported(call.argument("dagster_event"), call.argument("run_id"))
        return result

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


@guarded
def _emit_reported(event: Foreign, run_id: str) -> None:
    kind = event.event_type_value
    if kind == QUEUED:
        run_queued(run_id, event.job_name)
    elif kind == CANCELED:
        run_canceled(run_id, event.job_name)
    elif kind == FAILED:
        emit_error(type_of_failure(event), event.message or "the run failed", run_id=run_id)
