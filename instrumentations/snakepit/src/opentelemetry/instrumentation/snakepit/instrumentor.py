"""The instrumentor of Snakepit's bus events."""

from __future__ import annotations

import logging
import os
from typing import Any

from assay.instrumentation import BusInstrumentor, Subsystem

SNAKEPIT = Subsystem("snakepit", package="opentelemetry.instrumentation.snakepit")
HEALTH_PORT = "ASSAY_SNAKEPIT_HEALTH_PORT"
"""The variable with the port of the health endpoint; without it there is none."""

_logger = logging.getLogger(__name__)


class SnakepitInstrumentor(BusInstrumentor):
    """Emits Snakepit's bus events through OpenTelemetry: those of this package's functions and of the pools.

    If `ASSAY_SNAKEPIT_HEALTH_PORT` is set, it also serves the health of the pools on that port of 127.0.0.1.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = SNAKEPIT
    _health: Any = None

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        super()._instrument(**kwargs)
        # Removed, because the port is this process's: its children must not ask for it.
        port = os.environ.pop(HEALTH_PORT, "")
        if port:
            self._health = _serve_health(port)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        if self._health is not None:
            self._health.shutdown()
            self._health.server_close()
            self._health = None
        super()._uninstrument(**kwargs)


def _serve_health(port: str) -> Any:  # noqa: ANN401 - see Foreign
    from opentelemetry.instrumentation.snakepit.health import HealthCheck, serve  # noqa: PLC0415 - it is rarely used

    try:
        return serve(HealthCheck(), port=int(port))
    except (OSError, ValueError, OverflowError) as error:
        _logger.warning("the health of the pools is not served: %s=%r (%s)", HEALTH_PORT, port, error)
        return None
