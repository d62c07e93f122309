"""Steps: `flowstone.materialization.*`, `flowstone.asset_check.evaluated`, `flowstone.error`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.dagster._failures import Failure, failure_of
from opentelemetry.instrumentation.flowstone.dagster._names import (
    is_materialization,
    name_of_step,
    partition_of_run,
)
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.materializations import (
    asset_check,
    materialization,
    materialization_retry,
)

from assay.instrumentation import Call, Foreign, Hooks, Operation, guarded

CHECK_EVALUATED = "ASSET_CHECK_EVALUATION"


class Step:
    """One attempt at one step.

    Args:
        context: Dagster's step context.
        hooks: The user's hooks.
    """

    def __init__(self, context: Foreign, hooks: Hooks) -> None:
        self._context = context
        self._hooks = hooks
        self._operation: Operation | None = None
        self.name = name_of_step(context.step)
        self.partition = partition_of_run(context.dagster_run.tags)
        self.run_id: str = context.run_id
        self.size: int | None = None

    @guarded
    def start(self) -> None:
        """Start the span, if the step makes anything."""
        if not is_materialization(self._context.step):
            return
        operation = Operation(
            materialization(self.name, partition=self.partition, run_id=self.run_id),
            self._context,
            request_hook=self._hooks["materialization_request_hook"],
            response_hook=self._hooks["materialization_response_hook"],
        )
        operation.__enter__()
        self._operation = operation

    @guarded
    def item(self, item: Foreign) -> None:
        """Emit the result of a check that the step evaluated."""
        if getattr(item, "event_type_value", None) != CHECK_EVALUATED:
            return
        evaluated = item.event_specific_data
        asset_check(
            evaluated.asset_key.to_user_string(),
            evaluated.check_name,
            passed=evaluated.passed,
            run_id=self.run_id,
        )

    @guarded
    def end(self, error: BaseException | None) -> None:
        """Emit the error, if there is one, and end the span."""
        if error is None or isinstance(error, GeneratorExit):
            self._end_span(None)
            return
        failure = failure_of(error, self._context)
        emit_error(
            failure.type,
            failure.message,
            asset=self.name,
            partition=self.partition,
            run_id=self.run_id,
            retryable=failure.retryable,
        )
        self._end_span(failure)
        if failure.retryable:
            materialization_retry(
                self.name,
                attempt=self._context.previous_attempt_count + 1,
                error_type=failure.type,
                partition=self.partition,
                run_id=self.run_id,
            )

    def _end_span(self, failure: Failure | None) -> None:
        operation = self._operation
        if operation is None:
            return
        if failure is None:
            if self.size is not None:
                operation.span.measurements["result_size"] = self.size
            operation.__exit__(None, None, None)
            return
        operation.span.metadata.update(
            error_type=failure.type, error_message=failure.message, retryable=failure.retryable
        )
        operation.__exit__(type(failure.error), failure.error, failure.error.__traceback__)


class Steps:
    """The steps that run now, by the identity of Dagster's context.

    Args:
        hooks: The user's hooks.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._running: dict[int, Step] = {}

    def of(self, context: object) -> Step | None:
        """Return the running step that has this context."""
        return self._running.get(id(context))

    def sequence(self, call: Call) -> Foreign:
        """Wrap Dagster's `core_dagster_event_sequence_for_step`."""
        context = call.argument("step_context")
        step = Step(context, self._hooks)
        return self._followed(call(), context, step)

    def _followed(self, generator: Foreign, context: object, step: Step) -> Foreign:
        # Not the kit's `follow`: a step's span stays current while the step waits. Its consumer is the run's
        # generator, which restores the context when it waits itself.
        self._running[id(context)] = step
        step.start()
        failed: BaseException | None = None
        try:
            for item in generator:
                step.item(item)
                yield item
        except BaseException as error:
            failed = error
            raise
        finally:
            generator.close()
            step.end(failed)
            self._running.pop(id(context), None)
