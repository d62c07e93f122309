"""Steps and what they materialize: `flowstone.step.*`, `flowstone.materialization.*`, `flowstone.error`.

A step is a span of its own: each attempt, whatever the step makes. A materialization is one asset, and one of
its partitions: it starts when Dagster stores that the step has started, and succeeds when Dagster stores the
event `ASSET_MATERIALIZATION`. So a step of three assets is three materializations, and an op is none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import monotonic_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._details import definition_of, details_of
from opentelemetry.instrumentation.flowstone.dagster._event_log import (
    NS_PER_SECOND,
    RUN_CANCELED,
    Mark,
    Report,
    Stored,
    before_end,
    is_after_end,
)
from opentelemetry.instrumentation.flowstone.dagster._failures import Failure, failure_of, failure_of_event
from opentelemetry.instrumentation.flowstone.dagster._launched import is_discarded
from opentelemetry.instrumentation.flowstone.dagster._links import SpanContexts
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name
from opentelemetry.instrumentation.flowstone.dagster._plan import (
    MATERIALIZED,
    Target,
    checks_of,
    kind_of,
    planned_by,
    unevaluated,
    unfinished,
)
from opentelemetry.instrumentation.flowstone.dagster._pools import pool_of
from opentelemetry.instrumentation.flowstone.dagster._trace import mark
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.materializations import materialization_retry

from assay.instrumentation import Call, Foreign, Hooks, Operation, guarded
from assay.telemetry import Span, execute, span

STARTED, RESTARTED, SUCCEEDED = "STEP_START", "STEP_RESTARTED", "STEP_SUCCESS"
FAILED, UP_FOR_RETRY, SKIPPED = "STEP_FAILURE", "STEP_UP_FOR_RETRY", "STEP_SKIPPED"
_INTERRUPT = "INTERRUPT"


class Step:
    """One attempt at one step, in the process that executes it.

    Args:
        context: Dagster's step context.
        hooks: The user's hooks.
        links: Links of its span.

    Attributes:
        sizes: Bytes that its IO managers have stored, by asset.
        failure: The exception that has ended it.
        failed_io: Resource key of the IO manager that raised the exception.
        kind: What it makes: `asset`, `observation`, `check` or `op`.
        planned: What it is planned to materialize.
        open: The spans of what it is materializing, and has not materialized.
        launched: The same for a step that a step launcher executes: when it began, in ns since 1970.
        recorded: OpenTelemetry's spans: its own under None, and those of what it materializes.
        unchecked: Asset and name of the checks that a step of checks is planned to evaluate and has not.
    """

    def __init__(self, context: Foreign, hooks: Hooks, links: list[trace.Link] | None) -> None:
        step = context.step
        self.context = context
        self.run_id: str = context.run_id
        self.key: str = step.key
        self.op = str(step.node_handle)
        self.mapping_key: str | None = getattr(step.handle, "mapping_key", None)
        self.attempt: int = context.previous_attempt_count + 1
        self.sizes: dict[str, int] = {}
        self.failure: Failure | None = None
        self.failed_io: str | None = None
        self.kind = kind_of(step)
        self.planned: list[Target] = []
        self.open: dict[Target, Span] = {}
        self.launched: dict[Target, int] = {}
        self.recorded: dict[Target | None, trace.Span] = {}
        self.unchecked: set[tuple[str, str]] = set()
        self.outcome = ""
        self._began = monotonic_ns()
        self._operation = Operation(
            span(
                "flowstone.step",
                **described(
                    run_id=self.run_id,
                    job=context.job_name,
                    step_key=self.key,
                    op=self.op,
                    step_kind=self.kind,
                    mapping_key=self.mapping_key,
                    retry_number=self.attempt - 1,
                    pool=pool_of(step),
                    links=links or None,
                ),
            ),
            context,
            request_hook=hooks["materialization_request_hook"],
            response_hook=hooks["materialization_response_hook"],
        )

    @guarded
    def enter(self) -> None:
        """Start the span."""
        outside = trace.get_current_span()
        self._operation.__enter__()
        self._record(None, outside)
        if self.kind == "asset":
            self.planned = planned_by(self.context)
        elif self.kind == "check":
            self.unchecked = checks_of(self.context.step)

    @guarded
    def leave(self) -> None:
        """End the span with the outcome that Dagster has stored; without one it was canceled."""
        operation, step_span = self._operation, self._operation.span
        failure = self.failure
        if self.outcome in {FAILED, UP_FOR_RETRY} and failure is not None:
            step_span.metadata.update(
                error_type=failure.type, error_message=failure.message, retryable=failure.retryable
            )
            operation.__exit__(type(failure.error), failure.error, failure.error.__traceback__)
            return
        if self.outcome != SUCCEEDED:
            step_span.end_as("canceled")
        operation.__exit__(None, None, None)

    def start(self, stored: Stored) -> None:
        """Start the spans of what it is planned to materialize; the step's own span stays current.

        A step launcher may send all events when the step has ended: their spans are made at their end.
        """
        if stored.event.pid != os.getpid():
            for target in self.planned:
                execute("flowstone.materialization.start", None, _describe(self.run_id, self.key, target))
                self.launched[target] = stored.time
            return
        inside, current = otel_context.get_current(), trace.get_current_span()
        for target in self.planned:
            started = span("flowstone.materialization", **_describe(self.run_id, self.key, target))
            started.__enter__()
            self._record(target, current)
            otel_context.attach(inside)
            self.open[target] = started

    def _record(self, target: Target | None, outside: trace.Span) -> None:
        started = trace.get_current_span()
        if started is not outside:  # else the bridge makes no span of the event
            self.recorded[target] = started

    def duration(self) -> int:
        """Return the time since its start, in ns."""
        return monotonic_ns() - self._began


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

    def abandon(self, stored: Stored) -> None:
        """Report what a run leaves unfinished whose process has ended without reporting it.

        Args:
            stored: The event that ends the run, stored by another process.
        """
        began, ended = _attempts(stored)
        open_steps = set(began) - ended
        for key, target in unfinished(stored.instance, stored.run_id, open_steps) if open_steps else ():
            metadata = _describe(stored.run_id, key, target)
            measurements = {"duration": max(0, stored.time - began[key])}
            if stored.kind == RUN_CANCELED:
                metadata["status"] = "canceled"
                execute("flowstone.materialization.canceled", measurements, metadata)
                continue
            metadata.update(failure_of_event(stored.event).described())
            execute("flowstone.materialization.exception", measurements, metadata)
        if open_steps and stored.kind != RUN_CANCELED:
            _fail_lost_checks(stored, failure_of_event(stored.event), {key: began[key] for key in open_steps})

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
            step.start(stored)

    def _report_materialization(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        key = stored.event.asset_key
        target = asset_name(key), stored.event.partition
        materialization = stored.event.event_specific_data.materialization
        details = details_of(materialization)
        measurements: dict[str, int] = {}
        links: list[trace.Link] | None = None
        if step is not None:
            links = self._contexts.links_of_materialization(step.context, materialization)
            if target[0] in step.sizes:
                measurements["result_size"] = step.sizes[target[0]]
            details.update(definition_of(step.context, key), mapping_key=step.mapping_key)
            details["retry_number"] = step.attempt - 1
        made = step.open.pop(target, None) if step is not None else None
        if step is not None and made is not None:
            recorded = step.recorded.get(target)
            if recorded is not None:
                self._contexts.remember_materialization(stored.run_id, target, recorded)
                for link in links or ():
                    recorded.add_link(link.context, link.attributes)
            made.metadata.update(described(**details))
            made.measurements.update(measurements)
            made.__exit__(None, None, None)
            return
        if step is not None:  # it was not planned, or made elsewhere
            began = step.launched.pop(target, None)
            measurements["duration"] = step.duration() if began is None else max(0, stored.time - began)
        described_target = _describe(stored.run_id, stored.step_key, target)
        metadata = described(**described_target, links=links or None, **details)
        execute("flowstone.materialization.stop", measurements, metadata)

    def _report_success(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        if step is not None:
            step.outcome = SUCCEEDED
            if step.open or step.launched:
                _end_all(step, "interrupted" if is_after_end(stored) else "skipped", stored)

    def _report_failure(self, stored: Stored) -> None:
        step = self.running(stored.run_id, stored.step_key)
        if is_after_end(stored):
            if step is not None:
                _end_all(step, "interrupted", stored)
            return
        if _is_interrupt(stored.event):
            if step is not None:
                _end_all(step, "canceled", stored)
            return
        failure = (step and step.failure) or failure_of_event(stored.event)
        failure = failure.died_with(self._exit_codes.pop((stored.run_id, stored.step_key), None))
        if step is None:
            failed = _fail_lost(stored, failure)
        else:
            step.outcome, step.failure = stored.kind, failure
            failed = _fail_all(step, failure, stored)
            _fail_checks(step, failure)
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


def _end_all(step: Step, phase: str, stored: Stored) -> None:
    """End the spans of what a step has not materialized, with neither success nor failure."""
    for made in step.open.values():
        made.metadata["status"] = phase
        made.end_as(phase)
        made.__exit__(None, None, None)
    step.open.clear()
    _end_launched(step, phase, stored, {"status": phase})


def _end_launched(step: Step, phase: str, stored: Stored, metadata: Mapping[str, Any]) -> list[Target]:
    """Emit the end of what a launched step has not materialized; return what that is."""
    for target, began in step.launched.items():
        described_target = _describe(step.run_id, step.key, target)
        measurements = {"duration": max(0, stored.time - began)}
        execute(f"flowstone.materialization.{phase}", measurements, {**described_target, **metadata})
    ended = list(step.launched)
    step.launched.clear()
    return ended


def _fail_all(step: Step, failure: Failure, stored: Stored) -> list[Target]:
    """End the spans of what a step has not materialized with its failure; return what that is."""
    for made in step.open.values():
        made.metadata.update(failure.described())
        made.fail(failure.message, failure.type)
        made.__exit__(None, None, None)
    failed = list(step.open)
    step.open.clear()
    return failed + _end_launched(step, "exception", stored, failure.described())


def _fail_lost(stored: Stored, failure: Failure) -> list[Target]:
    """Report what a step has not materialized whose process died; return what that is."""
    began, _ = _attempts(stored)
    duration = max(0, stored.time - began.get(stored.step_key, stored.time))
    failed = [target for _, target in unfinished(stored.instance, stored.run_id, {stored.step_key})]
    for target in failed:
        metadata = {**_describe(stored.run_id, stored.step_key, target), **failure.described()}
        execute("flowstone.materialization.exception", {"duration": duration}, metadata)
    _fail_lost_checks(stored, failure, {stored.step_key: began.get(stored.step_key, stored.time)})
    return failed


def _fail_lost_checks(stored: Stored, failure: Failure, began: Mapping[str, int]) -> None:
    """Report the checks that steps have not evaluated whose process died.

    Args:
        stored: The event that reports the death.
        failure: The failure.
        began: When each of the steps started, in ns since 1970.
    """
    for key, (asset, check) in unevaluated(stored.instance, stored.run_id, set(began)):
        metadata = {**_describe(stored.run_id, key, (asset, None)), **failure.described(), "check": check}
        duration = max(0, stored.time - began[key])
        execute("flowstone.asset_check.exception", {"duration": duration}, metadata)


def _fail_checks(step: Step, failure: Failure) -> None:
    for asset, check in sorted(step.unchecked):
        metadata = {**_describe(step.run_id, step.key, (asset, None)), **failure.described()}
        metadata["check"] = check
        execute("flowstone.asset_check.exception", {"duration": step.duration()}, metadata)


def _describe(run_id: str, step_key: str, target: Target) -> dict[str, Any]:
    asset, partition = target
    return described(run_id=run_id or None, asset=asset, partition=partition, step_key=step_key or None)


def _emit_retry(stored: Stored, step: Step | None, target: Target, failure: Failure) -> None:
    asset, partition = target
    attempt = step.attempt + 1 if step is not None else _next_attempt(stored)
    materialization_retry(
        asset, attempt=attempt, error_type=failure.type, partition=partition, run_id=stored.run_id
    )


def _next_attempt(stored: Stored) -> int:
    """Return the number of the next attempt at a step whose process died, from Dagster's event log."""
    from dagster import DagsterEventType  # noqa: PLC0415 - Dagster is imported by then

    retries = stored.instance.all_logs(stored.run_id, of_type={DagsterEventType(UP_FOR_RETRY)})
    return 1 + sum(entry.dagster_event.step_key == stored.step_key for entry in retries)


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


def _attempts(stored: Stored) -> tuple[dict[str, int], set[str]]:
    """Return when each step of a run last started, in ns since 1970, and the keys of those that ended.

    Up to the end of the run: whoever ends the run reports what is open then.
    """
    kinds = {STARTED, RESTARTED, SUCCEEDED, FAILED, UP_FOR_RETRY}
    began: dict[str, int] = {}
    ended: set[str] = set()
    for entry in before_end(stored.instance, stored.run_id, kinds):
        event = entry.dagster_event
        if event.event_type_value in {STARTED, RESTARTED}:
            began[event.step_key] = int(entry.timestamp * NS_PER_SECOND)
            ended.discard(event.step_key)
        else:
            ended.add(event.step_key)
    return began, ended
