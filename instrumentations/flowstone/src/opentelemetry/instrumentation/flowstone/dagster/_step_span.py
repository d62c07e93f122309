"""Steps: `flowstone.step`, a span for each attempt at a step in the process that executes it."""

from __future__ import annotations

from time import monotonic_ns

from opentelemetry import trace
from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._failures import Failure
from opentelemetry.instrumentation.flowstone.dagster._plan import Target, checks_of, kind_of, planned_by
from opentelemetry.instrumentation.flowstone.dagster._pools import pool_of

from assay.instrumentation import Foreign, Hooks, Operation, guarded
from assay.telemetry import Span, span

STARTED, RESTARTED = "STEP_START", "STEP_RESTARTED"
SUCCEEDED, FAILED, UP_FOR_RETRY = "STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY"
"""The events that start and end an attempt."""


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
        self.record(None, outside)
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

    def record(self, target: Target | None, outside: trace.Span) -> None:
        """Remember OpenTelemetry's current span as that of the step, or of what it materializes.

        Args:
            target: What it materializes; None for the step itself.
            outside: The span that was current before.
        """
        started = trace.get_current_span()
        if started is not outside:  # else the bridge makes no span of the event
            self.recorded[target] = started

    def duration(self) -> int:
        """Return the time since its start, in ns."""
        return monotonic_ns() - self._began
