"""Runs: `flowstone.run.*`, and what sensors caused: `flowstone.sensor.trigger`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster.failures import message_of, user_error
from opentelemetry.instrumentation.flowstone.dagster.following import follow
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.dagster.names import SENSOR_TAG, USER_TAG
from opentelemetry.instrumentation.flowstone.errors import error as tell_error
from opentelemetry.instrumentation.flowstone.runs import run, run_canceled, run_queued
from opentelemetry.instrumentation.flowstone.triggers import sensor_trigger
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from assay.telemetry import Span
from assay.telemetry.spans import qualified_name

RunHook = Callable[[dict[str, Any], Any], object]
"""Takes the metadata of the run's span that is about to start, to add to it, and the DagsterRun."""

QUEUED, FAILED, CANCELED = "PIPELINE_ENQUEUED", "PIPELINE_FAILURE", "PIPELINE_CANCELED"
_RUN = "_flowstone_run"


class Run:
    """One run, in the process that executes it.

    Args:
        dagster_run: The run.
        hook: May add to the metadata.
    """

    def __init__(self, dagster_run: Foreign, hook: RunHook | None) -> None:
        self._run = dagster_run
        self._hook = hook
        self._span: Span | None = None
        self._failed: Any = None
        self._canceled = False

    @guarded
    def open(self) -> None:
        """Begin the span."""
        metadata: dict[str, Any] = {}
        if self._hook is not None:
            _call_hook(self._hook, metadata, self._run)
        known = {"run_id": self._run.run_id, "job": self._run.job_name, "actor": self._run.tags.get(USER_TAG)}
        span = run(**{**known, **metadata})
        span.__enter__()
        self._span = span

    def watch(self, item: Foreign) -> None:
        """Note how the run ends."""
        kind = getattr(item, "event_type_value", None)
        if kind == FAILED:
            self._failed = item
        elif kind == CANCELED:
            self._canceled = True

    @guarded
    def close(self, error: BaseException | None) -> None:
        """End the span."""
        span = self._span
        if span is None:
            return
        if self._canceled:
            span.end_as("canceled")
        elif error is not None and not isinstance(error, GeneratorExit):
            cause = user_error(error)
            span.metadata.update(error_type=qualified_name(type(cause)), error_message=message_of(cause))
            span.__exit__(type(cause), cause, cause.__traceback__)
            return
        elif self._failed is not None:
            self._fail(span, _type_of_failure(self._failed), self._failed.message or "the run failed")
        span.__exit__(None, None, None)

    @staticmethod
    def _fail(span: Span, kind: str, message: str) -> None:
        span.metadata.update(error_type=kind, error_message=message)
        span.fail(message, kind)


class Runs:
    """Wrappers of what Dagster does with runs.

    Args:
        hook: Called for each run.
    """

    def __init__(self, hook: RunHook | None) -> None:
        self._hook = hook
        self._creating = threading.local()

    def remember(
        self,
        wrapped: Callable[..., Any],
        instance: Foreign,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Wrap `PlanOrchestrationContextManager.__init__`: it is told the run before anything happens."""
        wrapped(*args, **kwargs)
        _remember(instance, args, kwargs)

    def iterate(
        self,
        wrapped: Callable[..., Any],
        instance: Foreign,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Foreign:
        """Wrap `ExecuteRunWithPlanIterable.__iter__`, which is a run from its first event to its last.

        A step on its own, as in a child process, goes through it too; it is given another context manager.
        """
        dagster_run = getattr(instance.execution_context_manager, _RUN, None)
        if dagster_run is None or not is_instrumentation_enabled():
            return wrapped(*args, **kwargs)
        return follow(wrapped(*args, **kwargs), Run(dagster_run, self._hook))

    def report(
        self, wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap `DagsterInstance.report_dagster_event`: what happens to a run from outside of it."""
        result = wrapped(*args, **kwargs)
        if is_instrumentation_enabled():
            _tell_reported(args, kwargs)
        return result

    def create(
        self, wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap `create_run`: a run that a sensor asked for carries the sensor's name.

        The instance's goes on to its run domain's, where there is one: the outer of the two tells.
        """
        if getattr(self._creating, "is_on", False) or not is_instrumentation_enabled():
            return wrapped(*args, **kwargs)
        self._creating.is_on = True
        try:
            dagster_run = wrapped(*args, **kwargs)
        finally:
            self._creating.is_on = False
        _tell_created(dagster_run)
        return dagster_run


@guarded
def _remember(instance: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    position = 4
    dagster_run = kwargs.get("dagster_run") or (args[position] if len(args) > position else None)
    setattr(instance, _RUN, dagster_run)


@guarded
def _tell_reported(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    event = args[0] if args else kwargs["dagster_event"]
    kind = event.event_type_value
    if kind not in {QUEUED, FAILED, CANCELED}:
        return
    run_id = args[1] if len(args) > 1 else kwargs["run_id"]
    if kind == QUEUED:
        run_queued(run_id, event.job_name)
    elif kind == CANCELED:
        run_canceled(run_id, event.job_name)
    else:
        tell_error(_type_of_failure(event), event.message or "the run failed", run_id=run_id)


@guarded
def _tell_created(dagster_run: Foreign) -> None:
    sensor = dagster_run.tags.get(SENSOR_TAG)
    if sensor and dagster_run.parent_run_id is None:
        sensor_trigger(sensor, dagster_run.run_id)


@guarded
def _call_hook(hook: RunHook, metadata: dict[str, Any], dagster_run: object) -> None:
    hook(metadata, dagster_run)


def _type_of_failure(event: Foreign) -> str:
    """Return the type of the first error that made a run fail, else Dagster's reason."""
    data = event.event_specific_data
    first = getattr(data, "first_step_failure_event", None)
    error = first.event_specific_data.error if first is not None else getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    if error is not None and error.cls_name:
        return str(error.cls_name)
    reason = getattr(data, "failure_reason", None)
    return str(getattr(reason, "value", None) or "_OTHER")
