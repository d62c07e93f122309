"""The instrumentor of Snakepit's bus events."""

from __future__ import annotations

from assay.instrumentation import BusInstrumentor, Subsystem

SNAKEPIT = Subsystem("snakepit", package="opentelemetry.instrumentation.snakepit")


class SnakepitInstrumentor(BusInstrumentor):
    """Emits Snakepit's bus events through OpenTelemetry: those of this package's functions and of the pools.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = SNAKEPIT
