"""The instrumentor of Dagster."""

from __future__ import annotations

from collections.abc import Collection

from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.patching import Patches
from opentelemetry.instrumentation.flowstone.dagster.wiring import wire
from opentelemetry.instrumentation.instrumentor import (  # pyright: ignore[reportMissingTypeStubs]
    BaseInstrumentor,
)

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
        self._patches = wire(kwargs.get("materialization_hook"), kwargs.get("run_hook"))

    def _uninstrument(self, **kwargs: Foreign) -> None:  # noqa: ARG002 - the base class's signature
        if self._patches is not None:
            self._patches.restore()
            self._patches = None
