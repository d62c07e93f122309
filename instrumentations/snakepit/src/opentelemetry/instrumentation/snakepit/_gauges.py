"""The gauges of pools, as the pools are at each collection of metrics."""

from __future__ import annotations

from opentelemetry.instrumentation.snakepit._pools import POOLS
from opentelemetry.instrumentation.snakepit.instrumentor import SNAKEPIT
from opentelemetry.metrics import MeterProvider

from assay.instrumentation import guarded
from assay.semconv import events
from assay.telemetry import bridge


def observe_pools(provider: MeterProvider | None) -> None:
    """Emit the state of each pool whenever the metrics of a provider are collected.

    The bridge records it in the gauges.

    Args:
        provider: The meter provider; None is the global one.
    """
    bridge.before_collection(events.SNAKEPIT_POOL_STATUS, _emit, provider, SNAKEPIT.scope())


@guarded
def _emit() -> None:
    POOLS.emit_status()
