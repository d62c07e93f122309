"""The gauges of pools, as the pools are at each collection of metrics."""

from __future__ import annotations

from opentelemetry.instrumentation.snakepit._pools import POOLS
from opentelemetry.instrumentation.snakepit.instrumentor import SNAKEPIT
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from assay.instrumentation import guarded
from assay.semconv import events


def observe_pools(provider: MeterProvider | None) -> None:
    """Emit the state of each pool whenever the metrics of a provider are collected.

    The gauges belong to the bridge, which records `snakepit.pool.status`. So an instrument without points
    only triggers that event. The SDK calls the callbacks of observable instruments before it collects.

    Args:
        provider: The meter provider; None is the global one.
    """
    scope = SNAKEPIT.scope()
    meter = get_meter(scope.name, scope.version, provider, scope.schema_url)
    meter.create_observable_gauge(events.SNAKEPIT_POOL_STATUS, [_emit_status], "1", "Has no points.")


def _emit_status(_options: CallbackOptions) -> list[Observation]:
    _emit()
    return []


@guarded
def _emit() -> None:
    POOLS.emit_status()
