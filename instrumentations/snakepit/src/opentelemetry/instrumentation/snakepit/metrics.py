"""The seed's metrics, by its names: series of your own code, beside those that events feed.

```python
metrics = Metrics()
metrics.register_metric(
    {
        "type": "histogram",
        "name": "snakepit_batch_seconds",
        "help": "Duration of batches.",
        "labels": ["pool_name"],
        "buckets": [0.1, 1.0, 10.0],
    }
)
metrics.observe_histogram("snakepit_batch_seconds", {"pool_name": "default"}, 0.4)
```
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from opentelemetry.instrumentation.snakepit.errors import ConfigurationError
from opentelemetry.metrics import Meter, MeterProvider, get_meter

from assay.instrumentation import guarded
from assay.semconv import CATALOGUE
from assay.semconv.catalogue import Metric

SCOPE = "opentelemetry.instrumentation.snakepit.metrics"
"""Instrumentation scope of these series, which keeps them apart from those of the bridge."""

_KINDS = ("counter", "gauge", "histogram")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Spec:
    """A metric as `register_metric` takes it."""

    type: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]


class Metrics:
    """Instruments of your own code.

    Args:
        meter_provider: Used instead of the global one.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self._meter: Meter = get_meter(SCOPE, meter_provider=meter_provider)
        self._specs: dict[str, _Spec] = {}
        self._record: dict[str, Callable[[float, Mapping[str, str]], None]] = {}

    def register_metric(self, spec: Mapping[str, Any]) -> None:
        """Create an instrument. The same specification may be registered again.

        Args:
            spec: `type` (`counter`, `gauge` or `histogram`), `name` (that of the series), `help`, `labels`,
                and for a histogram `buckets`.

        Raises:
            ConfigurationError: The specification is not valid, or contradicts a metric of that name: one that
                was registered before, or one of the registry.
        """
        wanted = _parse(spec)
        existing = self._specs.get(wanted.name) or _of_registry(wanted.name)
        if existing is not None:
            _compare(wanted, existing)
        if wanted.name not in self._specs:
            self._record[wanted.name] = self._create(wanted)
            self._specs[wanted.name] = wanted

    def update_counter(self, name: str, labels: Mapping[str, object], value: float = 1) -> None:
        """Add to a counter. A metric that is not registered is logged, and nothing is raised."""
        self._update("counter", name, labels, value)

    def update_gauge(self, name: str, labels: Mapping[str, object], value: float) -> None:
        """Set a gauge. A metric that is not registered is logged, and nothing is raised."""
        self._update("gauge", name, labels, value)

    def observe_histogram(self, name: str, labels: Mapping[str, object], value: float) -> None:
        """Record a value. A metric that is not registered is logged, and nothing is raised."""
        self._update("histogram", name, labels, value)

    @guarded
    def _update(self, kind: str, name: str, labels: Mapping[str, object], value: float) -> None:
        spec = self._specs.get(name)
        if spec is None or spec.type != kind:
            found = "it is not registered" if spec is None else f"it is a {spec.type}"
            _logger.warning("cannot update the %s %s: %s", kind, name, found)
            return
        # Labels beside the specified ones could have any number of values.
        self._record[name](value, {key: str(labels[key]) for key in spec.labels if key in labels})

    def _create(self, spec: _Spec) -> Callable[[float, Mapping[str, str]], None]:
        name, unit = _instrument_name(spec)
        if spec.type == "counter":
            return self._meter.create_counter(name, unit, spec.help).add
        if spec.type == "gauge":
            return self._meter.create_gauge(name, unit, spec.help).set
        buckets = list(spec.buckets) or None
        return self._meter.create_histogram(
            name, unit, spec.help, explicit_bucket_boundaries_advisory=buckets
        ).record


def _parse(spec: Mapping[str, Any]) -> _Spec:
    kind, name = spec.get("type"), spec.get("name")
    if kind not in _KINDS or not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"{dict(spec)!r} is not a metric: `type` must be one of {', '.join(_KINDS)}, and `name` a text"
        )
    labels = cast("Sequence[object]", spec.get("labels", ()))
    buckets = cast("Sequence[float]", spec.get("buckets", ()))
    return _Spec(
        kind,
        name,
        str(spec.get("help", "")),
        tuple(str(label) for label in labels),
        tuple(float(limit) for limit in buckets),
    )


def _of_registry(series: str) -> _Spec | None:
    metric = _registry_metric(series)
    if metric is None or metric.instrument not in _KINDS:
        return None
    labels = tuple(label.name for label in metric.labels)
    return _Spec(metric.instrument, series, metric.description, labels, tuple(metric.buckets))


def _registry_metric(series: str) -> Metric | None:
    return next((metric for metric in CATALOGUE.metrics.values() if metric.series == series), None)


def _compare(wanted: _Spec, existing: _Spec) -> None:
    """Raise `ConfigurationError` if two specifications of one metric differ. The help may."""
    for field in ("type", "labels", "buckets"):
        one, other = getattr(wanted, field), getattr(existing, field)
        if field == "labels":
            one, other = set(one), set(other)
        if one != other and not (field == "buckets" and not one):
            raise ConfigurationError(
                f"{wanted.name}: `{field}` {getattr(wanted, field)!r} contradicts the existing metric, "
                f"which has {getattr(existing, field)!r}; use the same, or another name"
            )


def _instrument_name(spec: _Spec) -> tuple[str, str]:
    """Return the name and the unit of an instrument that Prometheus shows as this series."""
    metric = _registry_metric(spec.name)
    if metric is not None:
        return metric.name, metric.unit
    name = spec.name.removesuffix("_total") if spec.type == "counter" else spec.name
    return (name.removesuffix("_seconds"), "s") if name.endswith("_seconds") else (name, "")
