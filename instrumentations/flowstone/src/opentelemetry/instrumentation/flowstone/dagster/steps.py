"""Steps: `flowstone.materialization.*`, `flowstone.asset_check.evaluated`, `flowstone.error`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster.failures import Failure, failure_of
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.dagster.names import (
    is_materialization,
    name_of_step,
    partition_of_run,
)
from opentelemetry.instrumentation.flowstone.errors import error as tell_error
from opentelemetry.instrumentation.flowstone.materializations import (
    asset_check,
    materialization,
    materialization_retry,
)
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from assay.telemetry import Span

MaterializationHook = Callable[[dict[str, Any], Any], object]
"""Takes the metadata of the span that is about to start, to add to it, and Dagster's step context."""

CHECK_EVALUATED = "ASSET_CHECK_EVALUATION"


class Step:
    """One attempt at one step.

    Args:
        context: Dagster's step context.
        hook: May add to the metadata.
    """

    def __init__(self, context: Foreign, hook: MaterializationHook | None) -> None:
        self._context = context
        self._hook = hook
        self._span: Span | None = None
        self.name = name_of_step(context.step)
        self.partition = partition_of_run(context.dagster_run.tags)
        self.run_id: str = context.run_id
        self.size: int | None = None

    @guarded
    def open(self) -> None:
        """Begin the span, if the step makes anything."""
        if not is_materialization(self._context.step):
            return
        metadata: dict[str, Any] = {}
        if self._hook is not None:
            _call_hook(self._hook, metadata, self._context)
        known: dict[str, Any] = {"asset": self.name, "partition": self.partition, "run_id": self.run_id}
        span = materialization(**{**known, **metadata})
        span.__enter__()
        self._span = span

    @guarded
    def tell_check(self, event: Foreign) -> None:
        """Tell of a check that the step evaluated."""
        evaluated = event.event_specific_data
        asset_check(
            evaluated.asset_key.to_user_string(),
            evaluated.check_name,
            passed=evaluated.passed,
            run_id=self.run_id,
        )

    @guarded
    def close(self, error: BaseException | None) -> None:
        """Tell of the error, if there is one, and end the span."""
        if error is None or isinstance(error, GeneratorExit):
            self._end(None)
            return
        failure = failure_of(error, self._context)
        tell_error(
            failure.type,
            failure.message,
            asset=self.name,
            partition=self.partition,
            run_id=self.run_id,
            retryable=failure.retryable,
        )
        self._end(failure)
        if failure.retryable:
            materialization_retry(
                self.name,
                attempt=self._context.previous_attempt_count + 1,
                error_type=failure.type,
                partition=self.partition,
                run_id=self.run_id,
            )

    def _end(self, failure: Failure | None) -> None:
        span = self._span
        if span is None:
            return
        if failure is None:
            if self.size is not None:
                span.measurements["result_size"] = self.size
            span.__exit__(None, None, None)
            return
        span.metadata.update(
            error_type=failure.type, error_message=failure.message, retryable=failure.retryable
        )
        span.__exit__(type(failure.error), failure.error, failure.error.__traceback__)


class Steps:
    """The steps that run now, by the identity of Dagster's context."""

    def __init__(self, hook: MaterializationHook | None) -> None:
        self._hook = hook
        self._running: dict[int, Step] = {}

    def of(self, context: object) -> Step | None:
        """Return the running step that has this context."""
        return self._running.get(id(context))

    def sequence(
        self, wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap Dagster's `core_dagster_event_sequence_for_step`."""
        if not is_instrumentation_enabled():
            return wrapped(*args, **kwargs)
        context = args[0] if args else kwargs.get("step_context")
        step = _begin(context, self._hook)
        if step is None:
            return wrapped(*args, **kwargs)
        return self._followed(wrapped(*args, **kwargs), context, step)

    def _followed(self, generator: Foreign, context: object, step: Step) -> Foreign:
        # Unlike a run, a step keeps its span current while it waits: its consumer is the run's generator,
        # which takes away what is current when it waits itself.
        self._running[id(context)] = step
        step.open()
        failed: BaseException | None = None
        try:
            for item in generator:
                if getattr(item, "event_type_value", None) == CHECK_EVALUATED:
                    step.tell_check(item)
                yield item
        except BaseException as error:
            failed = error
            raise
        finally:
            generator.close()
            step.close(failed)
            self._running.pop(id(context), None)


@guarded
def _begin(context: object, hook: MaterializationHook | None) -> Step:
    return Step(context, hook)


@guarded
def _call_hook(hook: MaterializationHook, metadata: dict[str, Any], context: object) -> None:
    hook(metadata, context)
