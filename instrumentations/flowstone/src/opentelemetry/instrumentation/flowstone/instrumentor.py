"""The instrumentor of FlowStone's bus events."""

from __future__ import annotations

from assay.instrumentation import BusInstrumentor, Subsystem

FLOWSTONE = Subsystem("flowstone", package="opentelemetry.instrumentation.flowstone")


class FlowstoneInstrumentor(BusInstrumentor):
    """Emits FlowStone's bus events through OpenTelemetry: those of this package's functions and of Dagster.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = FLOWSTONE
