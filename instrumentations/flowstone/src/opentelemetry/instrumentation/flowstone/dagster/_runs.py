"""Runs: `flowstone.run.*`, and what requested them: `flowstone.sensor.trigger`, `flowstone.schedule.trigger`.

A run's start and its outcome are reported where Dagster stores them (`_event_log`): in the process that
executes the run, or in the daemon or webserver that marks a run as failed whose process died. The span is
that of the execution. A process that stops executing a run without an outcome, such as one that is evicted,
ends its span as `interrupted`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._cause import SCHEDULE_TAG, cause_of, retry_number_of
from opentelemetry.instrumentation.flowstone.dagster._event_log import (
    NS_PER_SECOND,
    RUN_CANCELED,
    RUN_FAILED,
    RUN_SUCCEEDED,
    Report,
    Stored,
    first_end_of,
)
from opentelemetry.instrumentation.flowstone.dagster._failures import is_failure_of_run, type_of_failure
from opentelemetry.instrumentation.flowstone.dagster._lost_steps import abandon
from opentelemetry.instrumentation.flowstone.dagster._names import SENSOR_TAG
from opentelemetry.instrumentation.flowstone.dagster._requester import ACTOR_TAG, requester
from opentelemetry.instrumentation.flowstone.dagster._trace import (
    REEXECUTION_OF,
    RETRY_OF,
    context_of,
    joined,
    links_to,
    with_current,
    without_inherited,
)
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.runs import run
from opentelemetry.instrumentation.flowstone.triggers import schedule_trigger, sensor_trigger
from opentelemetry.trace import Link

from assay.instrumentation import Call, Foreign, Hooks, Operation, follow, guarded
from assay.telemetry import execute, span

RUN_QUEUED, RUN_DEQUEUED, RUN_STARTED = "PIPELINE_ENQUEUED", "PIPELINE_DEQUEUED", "PIPELINE_START"
RUN_CANCELING = "PIPELINE_CANCELING"
_PHASES = {RUN_SUCCEEDED: "stop", RUN_FAILED: "exception", RUN_CANCELED: "canceled"}
FAILURE_REASON_TAG = "dagster/failure_reason"
CANCELED_BY_TAG = "assay/canceled_by"
_RUN, _STEP_RUN = "_flowstone_run", "_flowstone_step_run"


class Run:
    """The execution of one run in this process; follows the generator of its events.

    Args:
        dagster_run: The run.
        links: Links to the run that it executes again.
        hooks: The user's hooks.
        executed: The runs that this process executes, by their ids.
    """

    def __init__(
        self, dagster_run: Foreign, links: list[Link], hooks: Hooks, executed: dict[str, Run]
    ) -> None:
        self._run_id: str = dagster_run.run_id
        self._tags = dagster_run.tags
        self._executed = executed
        self._operation = Operation(
            run(dagster_run.run_id, dagster_run.job_name, links=links or None, **cause_of(dagster_run)),
            dagster_run,
            request_hook=hooks["run_request_hook"],
            response_hook=hooks["run_response_hook"],
        )
        self.is_open = False

    def start(self) -> None:
        """Join the run's trace; its span starts when Dagster has stored its start."""
        otel_context.attach(context_of(self._tags))
        self._executed[self._run_id] = self

    def item(self, item: object) -> None:
        """Ignore the run's events, which are reported when they are stored."""

    def open(self) -> None:
        """Start the span."""
        self._operation.__enter__()
        self.is_open = True

    def close(self, event: Foreign, tags: Mapping[str, str]) -> None:
        """End the span with the event that decides the run's outcome.

        Args:
            event: The event.
            tags: The run's tags of now.
        """
        self.is_open = False
        operation, span = self._operation, self._operation.span
        operation.result = event
        if event.event_type_value == RUN_CANCELED:
            span.metadata.update(_canceler_of(tags))
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


class StepWorker:
    """The execution of a single step, in a process that another has started for it.

    Args:
        dagster_run: The step's run.
    """

    def __init__(self, dagster_run: Foreign) -> None:
        self._tags = dagster_run.tags

    def start(self) -> None:
        """Join the run's trace, unless the process that started this one has passed its own span."""
        otel_context.attach(context_of(self._tags))

    def item(self, item: object) -> None:
        """Ignore the events."""

    def end(self, error: BaseException | None) -> None:
        """Do nothing: the context ends with the generator."""


class Runs:
    """The wrappers of Dagster's functions for runs, and the reports of what it stores about them.

    Args:
        hooks: The user's hooks.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
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

    @staticmethod
    def remember(call: Call) -> None:
        """Wrap `PlanOrchestrationContextManager.__init__`, which gets the run before anything happens."""
        call()
        setattr(call.instance, _RUN, (call.argument("dagster_run"), call.argument("instance")))

    @staticmethod
    def remember_step(call: Call) -> None:
        """Wrap `PlanExecutionContextManager.__init__`, which a process that executes single steps creates."""
        call()
        setattr(call.instance, _STEP_RUN, call.argument("dagster_run"))

    def iterate(self, call: Call) -> Foreign:
        """Wrap `ExecuteRunWithPlanIterable.__iter__`: a run, or a step, from its first event to its last."""
        manager = call.instance.execution_context_manager
        if hasattr(manager, _RUN):
            dagster_run, instance = getattr(manager, _RUN)
            earlier = _parent_of(dagster_run.parent_run_id, instance)
            links = links_to(earlier, _relation_of(dagster_run.tags))
            return follow(call(), Run(dagster_run, links, self._hooks, self._executed))
        dagster_run = getattr(manager, _STEP_RUN, None)
        if dagster_run is None or self._is_inside(dagster_run):
            return call()
        return follow(call(), StepWorker(dagster_run))

    def _is_inside(self, dagster_run: Foreign) -> bool:
        """Return whether this process executes the run too, and the run's trace is current in this thread."""
        is_executed = dagster_run.run_id in self._executed
        return is_executed and context_of(dagster_run.tags) is otel_context.get_current()

    def create(self, call: Call) -> Foreign:
        """Wrap `create_run`: the request of a run is a span, whose context becomes tags of the run.

        The instance's function calls that of its run domain, if it has one: the outer of the two counts.
        """
        if getattr(self._creating, "is_on", False):
            return call()
        self._creating.is_on = True
        try:
            dagster_run = self._create(call)
        finally:
            self._creating.is_on = False
        return dagster_run

    @staticmethod
    def _create(call: Call) -> Foreign:
        run_id = call.argument("run_id") or str(uuid4())
        call.replace("run_id", run_id)
        earlier = _parent_of(call.argument("parent_run_id"), call.instance)
        given: dict[str, str] = dict(call.argument("tags") or {})
        tags = without_inherited(given, {} if earlier is None else earlier.tags)
        links, asker = links_to(earlier, _relation_of(given)) or None, requester()
        requested = described(run_id=run_id, job=call.argument("job_name"), links=links, **asker)
        with joined(tags), span("flowstone.run.request", **requested) as request:
            call.replace("tags", with_current(_with_actor(tags, asker)))
            dagster_run = call()
            request.metadata.update(cause_of(dagster_run))
            _emit_trigger(dagster_run)
            _emit_retry(dagster_run, earlier)
        return dagster_run

    @staticmethod
    def _report_queued(stored: Stored) -> None:
        dagster_run = stored.instance.get_run_by_id(stored.run_id)
        with joined({} if dagster_run is None else dagster_run.tags):
            execute("flowstone.run.queued", None, {**_describe(stored, dagster_run), **requester()})

    @staticmethod
    def _report_dequeued(stored: Stored) -> None:
        record = stored.instance.get_run_record_by_id(stored.run_id)
        if record is None:
            return
        queued = int(record.create_timestamp.timestamp() * NS_PER_SECOND)
        measurements = {"queue_time": max(0, stored.time - queued)}
        with joined(record.dagster_run.tags):
            execute("flowstone.run.dequeued", measurements, _describe(stored, record.dagster_run))

    @staticmethod
    def _report_canceling(stored: Stored) -> None:
        asker = requester()
        # Who cancels a run need not be who requested it.
        described_run = _describe(stored, stored.instance.get_run_by_id(stored.run_id))
        actor = {"actor": asker.get("actor"), "actor_type": asker.get("actor_type")}
        execute("flowstone.run.canceling", None, described(**{**described_run, **actor, **asker}))
        if "actor" in asker:
            # The process that executes the run reports its end, and does not know who cancelled it.
            stored.instance.add_run_tags(stored.run_id, {CANCELED_BY_TAG: asker["actor"]})

    def _report_start(self, stored: Stored) -> None:
        executed = self._executed.get(stored.run_id)
        if executed is not None:
            executed.open()

    def _report_end(self, stored: Stored) -> None:
        if not _is_first_end(stored):
            return  # such as that of a process that was given up
        executed = self._executed.get(stored.run_id)
        record = stored.run_before
        tags: Mapping[str, str] = {} if record is None else record.dagster_run.tags
        if executed is not None and executed.is_open:
            executed.close(stored.event, tags)
            if stored.kind == RUN_FAILED and is_failure_of_run(stored.event):
                _emit_run_error(stored)
            return
        with joined(tags):
            if executed is None:
                abandon(stored)
            _emit_end(stored)
            if executed is None and stored.kind == RUN_FAILED:
                _emit_run_error(stored)


def _is_first_end(stored: Stored) -> bool:
    """Return whether the event log has no earlier end of the run.

    The status of the run does not decide: Dagster changes it after it has stored the event, and two processes
    may store an end at the same time.
    """
    first = first_end_of(stored.instance, stored.run_id) or stored.entry
    return (first.timestamp, first.dagster_event.event_type_value) == (stored.entry.timestamp, stored.kind)


def _canceler_of(tags: Mapping[str, str]) -> dict[str, str | None]:
    """Return who cancelled a run, in place of who requested it: a user if known, else nobody."""
    user = tags.get(CANCELED_BY_TAG) or requester().get("actor")
    return {"actor": user, "actor_type": None if user is None else "user"}


def _emit_run_error(stored: Stored) -> None:
    failure = _failure_of(stored.event)
    emit_error(
        failure["error_type"],
        failure["error_message"],
        run_id=stored.run_id,
        origin="run",
        subject=f"job:{stored.job}",
        job=stored.job,
    )


def _with_actor(tags: dict[str, str], asker: Mapping[str, Any]) -> dict[str, str]:
    return {ACTOR_TAG: asker["actor"], **tags} if "actor" in asker else tags


@guarded
def _emit_trigger(dagster_run: Foreign) -> None:
    """Emit which sensor or schedule requested a run; a run that is executed again keeps their tags."""
    if dagster_run.parent_run_id is not None:
        return
    sensor, schedule = dagster_run.tags.get(SENSOR_TAG), dagster_run.tags.get(SCHEDULE_TAG)
    if sensor:
        sensor_trigger(sensor, dagster_run.run_id)
    elif schedule:
        schedule_trigger(schedule, dagster_run.run_id)


@guarded
def _emit_retry(dagster_run: Foreign, earlier: Foreign) -> None:
    """Emit that Dagster retries a failed run; a re-execution that a user asks for is not a retry."""
    number = retry_number_of(dagster_run.tags)
    if number is not None and earlier is not None:
        execute(
            "flowstone.run.retry",
            None,
            described(
                run_id=earlier.run_id,
                job=earlier.job_name,
                retry_run_id=dagster_run.run_id,
                retry_number=number,
                failure_reason=earlier.tags.get(FAILURE_REASON_TAG),
            ),
        )


def _relation_of(tags: Mapping[str, str]) -> str:
    return REEXECUTION_OF if retry_number_of(tags) is None else RETRY_OF


def _parent_of(run_id: str | None, instance: Foreign) -> Foreign:
    """Return the run that another executes again, None if there is none."""
    if run_id is None:
        return None
    # Dagster's run domain is not the instance itself.
    return getattr(instance, "_instance", instance).get_run_by_id(run_id)


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
    elif stored.kind == RUN_CANCELED and record is not None:
        metadata.update(_canceler_of(record.dagster_run.tags))
    execute(f"flowstone.run.{_PHASES[stored.kind]}", measurements, metadata)


def _describe(stored: Stored, dagster_run: Foreign) -> dict[str, Any]:
    cause = {} if dagster_run is None else cause_of(dagster_run)
    return described(run_id=stored.run_id, job=stored.job, **cause)


def _failure_of(event: Foreign) -> dict[str, str]:
    failure = {"error_type": type_of_failure(event), "error_message": event.message or "the run failed"}
    reason = getattr(event.event_specific_data, "failure_reason", None)
    return failure if reason is None else {**failure, "failure_reason": str(reason.value)}
