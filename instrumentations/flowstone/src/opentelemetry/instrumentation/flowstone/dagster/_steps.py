"""The steps that run in this process, and the reports of what Dagster stores about steps: `flowstone.error`.

A step is a span of its own: each attempt, whatever the step makes.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.instrumentation.flowstone.dagster import _lost_steps
from opentelemetry.instrumentation.flowstone.dagster._event_log import Mark, Report, Stored, is_after_end
from opentelemetry.instrumentation.flowstone.dagster._failures import Failure, failure_of, failure_of_event
from opentelemetry.instrumentation.flowstone.dagster._launched import is_discarded
from opentelemetry.instrumentation.flowstone.dagster._links import SpanContexts
from opentelemetry.instrumentation.flowstone.dagster._materializations import (
    emit_success,
    end_all,
    fail_all,
    fail_checks,
    start_planned,
    succeed,
)
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name
from opentelemetry.instrumentation.flowstone.dagster._plan import MATERIALIZED, Target
from opentelemetry.instrumentation.flowstone.dagster._step_span import (
    FAILED,
    RESTARTED,
    STARTED,
    SUCCEEDED,
    UP_FOR_RETRY,
    Step,
)
from opentelemetry.instrumentation.flowstone.dagster._trace import mark
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.materializations import materialization_retry

from assay.instrumentation import Call, Foreign, Hooks, guarded

_INTERRUPT = "INTERRUPT"


class Steps:
    """The steps that run now in this process, and the reports of what Dagster stores about steps.

    Args:
        hooks: The user's hooks.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._running: dict[int, Step] = {}
        self._by_key: dict[tuple[str, str], Step] = {}
        self._contexts = SpanContexts()
        self._exit_codes: dict[tuple[str, str], int] = {}

    def marks(self) -> Mapping[str, Mark]:
        """Return what marks the events of steps with the contexts of their spans, by the type of event."""
        return dict.fromkeys((STARTED, RESTARTED, MATERIALIZED), self._mark)

    def reports(self) -> Mapping[str, Report]:
        """Return the reports of the events that concern steps, by the type of event."""
        return {
            STARTED: self._report_start,
            RESTARTED: self._report_start,
            SUCCEEDED: self._report_success,
            FAILED: self._report_failure,
            UP_FOR_RETRY: self._report_failure,
            MATERIALIZED: self._report_materialization,
        }

    def of(self, context: object) -> Step | None:
        """Return the running step that has this context."""
        return self._running.get(id(context))

    def running(self, run_id: str, step_key: str) -> Step | None:
        """Return the running attempt at a step of a run."""
        return self._by_key.get((run_id, step_key))

    def died(self, run_id: str, step_key: str, exit_code: int) -> None:
        """Take the exit code of a step's process, before Dagster stores that the step has failed."""
        self._exit_codes[run_id, step_key] = exit_code

    def sequence(self, call: Call) -> Foreign:
        """Wrap Dagster's `dagster_event_sequence_for_step`, which stores the step's events."""
        context = call.argument("step_context")
        if is_discarded(context.instance):
            return call()
        step = Step(context, self._hooks, self._contexts.links_of_step(context))
        events = call()
        if context.step_launcher is not None:
            events = _noting_outcome(events, step)
        return self._followed(events, context, step)

    def compute(self, call: Call) -> Foreign:
        """Wrap Dagster's `core_dagster_event_sequence_for_step`, which raises the step's exception."""
        return self._noted(call(), call.argument("step_context"))

    def _followed(self, generator: Foreign, context: Foreign, step: Step) -> Foreign:
        # Not the kit's `follow`: a step's span stays current while the step waits. Its consumer is the run's
        # generator, which restores the context when it waits itself.
        place = (step.run_id, step.key)
        self._running[id(context)] = self._by_key[place] = step
        step.enter()
        if None in step.recorded:
            self._contexts.remember_step(*place, step.attempt, step.recorded[None])
        try:
            yield from generator
        finally:
            generator.close()
            step.leave()
            self._running.pop(id(context), None)
            if self._by_key.get(place) is step:
                del self._by_key[place]

    def _noted(self, generator: Foreign, context: Foreign) -> Foreign:
        try:
            yield from generator
        except Exception as error:
            self._note(context, error)
            raise

    @guarded
    def _note(self, context: Foreign, error: Exception) -> None:
        step = self.of(context)
        if step is not None:
            step.failure = failure_of(error, context)

    def _mark(self, entry: Foreign) -> None:
        event = entry.dagster_event
        step = self.running(entry.run_id, event.step_key)
        if step is None:
            return
        target = None
        if event.event_type_value == MATERIALIZED:
            target = asset_name(event.asset_key), event.partition
        recorded = step.recorded.get(target) or step.recorded.get(None)
        if recorded is not None:
            mark(event, recorded)

    def _report_start(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        if step is not None:
            start_planned(step, stored)

    def _report_materialization(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        if step is None:
            emit_success(stored)
        else:
            succeed(step, stored, self._contexts)

    def _report_success(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        if step is not None:
            step.outcome = SUCCEEDED
            if step.open or step.launched:
                end_all(step, "interrupted" if is_after_end(stored) else "skipped", stored)

    def _report_failure(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        if is_after_end(stored):
            if step is not None:
                end_all(step, "interrupted", stored)
            return
        if _is_interrupt(stored.event):
            if step is not None:
                end_all(step, "canceled", stored)
            return
        failure = (step and step.failure) or failure_of_event(stored.event)
        failure = failure.died_with(self._exit_codes.pop((stored.run_id, stored.step_key), None))
        if step is None:
            failed = _lost_steps.fail(stored, failure)
        else:
            step.outcome, step.failure = stored.kind, failure
            failed = fail_all(step, failure, stored)
            fail_checks(step, failure)
        if failure.retryable:
            for target in failed:
                _emit_retry(stored, step, target, failure)
        _emit_step_error(stored, step, failed, failure)


def _noting_outcome(events: Foreign, step: Step) -> Foreign:
    """Yield the events of a launched step; its process may have stored them in Dagster's event log itself."""
    for event in events:
        kind = event.event_type_value
        if kind in {SUCCEEDED, FAILED, UP_FOR_RETRY} and not step.outcome:
            step.outcome = kind
            step.failure = None if kind == SUCCEEDED else failure_of_event(event)
        yield event


def _emit_retry(stored: Stored, step: Step | None, target: Target, failure: Failure) -> None:
    asset, partition = target
    attempt = step.attempt + 1 if step is not None else _lost_steps.next_attempt(stored)
    materialization_retry(
        asset, attempt=attempt, error_type=failure.type, partition=partition, run_id=stored.run_id
    )


def _emit_step_error(stored: Stored, step: Step | None, failed: list[Target], failure: Failure) -> None:
    """Emit the error of a step, once, whatever the number of its assets."""
    op = step.op if step is not None else stored.step_key.split("[", 1)[0]
    asset, partition = failed[0] if len(failed) == 1 else (None, None)
    kind = step.kind if step is not None else ("asset" if failed else "op")
    io_manager = step.failed_io if step is not None else None
    emit_error(
        failure.type,
        failure.message,
        asset=asset,
        partition=partition,
        run_id=stored.run_id,
        retryable=failure.retryable,
        origin=kind if io_manager is None else "io_manager",
        subject=asset or f"op:{op}",
        job=stored.job,
        step_key=stored.step_key,
        io_manager=io_manager,
        **failure.exit(),
    )


def _is_interrupt(event: Foreign) -> bool:
    source = getattr(event.event_specific_data, "error_source", None)
    return getattr(source, "name", "") == _INTERRUPT
