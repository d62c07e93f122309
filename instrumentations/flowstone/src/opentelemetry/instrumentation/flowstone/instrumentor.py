"""The instrumentor of FlowStone's own events: sees to it that a bridge takes them to OpenTelemetry."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import (  # pyright: ignore[reportMissingTypeStubs]
    BaseInstrumentor,
)

from assay.telemetry import bridge


class FlowstoneInstrumentor(BaseInstrumentor):
    """Takes what this package's functions tell to OpenTelemetry.

    The Assay distro installs a bridge for every subsystem; then there is nothing left to do. Without it,
    `instrument` attaches one with the given providers, or the global ones, and `uninstrument` removes it.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Where not the global ones.
    """

    _bridge: bridge.Bridge | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return none: the events are this package's own."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's signature
        if bridge.current() is not None:
            return
        from assay.semconv import CATALOGUE  # noqa: PLC0415 - not paid for where the distro has a bridge

        self._bridge = bridge.Bridge(
            CATALOGUE,
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
            logger_provider=kwargs.get("logger_provider"),
        )
        self._bridge.attach()

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - the base class's signature
        if self._bridge is not None:
            self._bridge.detach()
            self._bridge = None
