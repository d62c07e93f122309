"""The exporter's own metrics, through the OpenTelemetry API."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from assay.exporters.metrics._store import SeriesStore
from assay.semconv import metrics

REASONS = ("limit", "conflict", "unsupported", "invalid")

_meter = get_meter("assay.metrics")

DROPPED: Final = _meter.create_counter(
    metrics.ASSAY_METRICS_DROPPED, "{point}", "Data points that no series contains, by reason"
)

_stores: WeakSet[SeriesStore] = WeakSet()


def start_counters() -> None:
    """Report 0 for each reason, so that `increase()` includes the first count."""
    for reason in REASONS:
        DROPPED.add(0, {"reason": reason})


def watch(store: SeriesStore) -> None:
    """Report the numbers of series and processes of a store as long as it is open."""
    _stores.add(store)


def _observe_series(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(series) for series, _ in _counts()]


def _observe_processes(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(processes) for _, processes in _counts()]


def _counts() -> Iterable[tuple[int, int]]:
    for store in list(_stores):
        with suppress(sqlite3.Error):  # it is closed
            yield store.counts()


_meter.create_observable_gauge(
    metrics.ASSAY_METRICS_SERIES, [_observe_series], "{series}", "Series that the metrics exporter keeps"
)
_meter.create_observable_gauge(
    metrics.ASSAY_METRICS_PROCESSES,
    [_observe_processes],
    "{process}",
    "Processes whose newest points it keeps",
)
