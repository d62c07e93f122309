"""The instrumentor of Dagster."""

from __future__ import annotations

from collections.abc import Collection

from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.dagster.patching import Patches
from opentelemetry.instrumentation.flowstone.dagster.wiring import wire
from opentelemetry.instrumentation.flowstone.dagster.workers import is_auto
from opentelemetry.instrumentation.flowstone.instrumentor import FlowstoneInstrumentor
from opentelemetry.instrumentation.instrumentor import (  # pyright: ignore[reportMissingTypeStubs]
    BaseInstrumentor,
)

from assay.telemetry import bridge

DEPENDENCIES = ("dagster >= 1.10",)


class DagsterInstrumentor(BaseInstrumentor):
    """Tells the bus what Dagster does; `FlowstoneInstrumentor` takes it from there to OpenTelemetry.

    Args (of `instrument`):
        materialization_hook: `hook(metadata, step_context)`, called before a step's span starts; what
            it adds to the metadata goes with the span's events.
        run_hook: `hook(metadata, dagster_run)`, the same for a run's.
    """

    _patches: Patches | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of Dagster that this adapter knows."""
        return DEPENDENCIES

    def _instrument(self, **kwargs: Foreign) -> None:
        self._patches = wire(kwargs.get("materialization_hook"), kwargs.get("run_hook"), establish)

    def _uninstrument(self, **kwargs: Foreign) -> None:  # noqa: ARG002 - the base class's signature
        if self._patches is not None:
            self._patches.restore()
            self._patches = None


@guarded
def establish(*, auto: bool) -> None:
    """Instrument this child process, if it is not yet.

    A spawned child is auto-instrumented by itself where OpenTelemetry leaves its folder in PYTHONPATH, which
    not every version does.

    Args:
        auto: The parent is auto-instrumented.
    """
    if auto and not is_auto():
        from opentelemetry.instrumentation.auto_instrumentation import (  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]
            initialize,
        )

        initialize()
    if bridge.current() is None:
        FlowstoneInstrumentor().instrument()
    if not DagsterInstrumentor().is_instrumented_by_opentelemetry:
        DagsterInstrumentor().instrument()
