"""The instrumentor of Dagster."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.dagster._wiring import wire
from opentelemetry.instrumentation.flowstone.instrumentor import FLOWSTONE

from assay.instrumentation import HookPoint, Hooks, LibraryInstrumentor, Patches


class DagsterInstrumentor(LibraryInstrumentor):
    """Makes Dagster emit FlowStone's bus events.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones, unless
            `FlowstoneInstrumentor` has been instrumented with others.
        run_request_hook: `hook(span, dagster_run)`, called when a run's span has started.
        run_response_hook: `hook(span, dagster_run, outcome)`, called before it ends. `outcome` is the run's
            last Dagster event, or the exception that ended it.
        materialization_request_hook: `hook(span, step_context)`, called when a step's span has started.
        materialization_response_hook: `hook(span, step_context, error)`, called before it ends. `error` is
            None if the step succeeded.
    """

    subsystem = FLOWSTONE
    dependencies = ("dagster >= 1.11.6",)
    hook_points = (
        HookPoint("run_request_hook", "ASSAY_DAGSTER_RUN_REQUEST_HOOK"),
        HookPoint("run_response_hook", "ASSAY_DAGSTER_RUN_RESPONSE_HOOK"),
        HookPoint("materialization_request_hook", "ASSAY_DAGSTER_MATERIALIZATION_REQUEST_HOOK"),
        HookPoint("materialization_response_hook", "ASSAY_DAGSTER_MATERIALIZATION_RESPONSE_HOOK"),
    )

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch Dagster."""
        wire(self, patches, hooks)
