"""The instrumentor of ALUMIINI's bus events."""

from __future__ import annotations

from assay.instrumentation import BusInstrumentor, Subsystem

ALUMIINI = Subsystem("alumiini", package="opentelemetry.instrumentation.alumiini")


class AlumiiniInstrumentor(BusInstrumentor):
    """Emits ALUMIINI's bus events through OpenTelemetry: those of this package's functions and adapters.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
