"""Sums that are kept here and read by the SDK when it collects: counters and up-down-counters.

An `add` of the SDK costs a measurement object, a frozen set of the labels, a context look-up and a lock. Here
it is an append to a list, which is atomic: no lock, so a sum may also be added to in a signal handler or in
`__del__`. The SDK observes the totals through observable instruments, for any temporality and any number of
readers. Sums carry no exemplars; histograms do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from assay.semconv.catalogue import Metric

PENDING_LIMIT = 256
"""Amounts that a sum collects before it adds them up."""

Amount: TypeAlias = int | float


class Sum:
    """One series.

    Attributes:
        labels: Its labels.
        pending: Amounts that are not yet in the total. Whoever appends calls `fold` when there are more than
            `PENDING_LIMIT`.
    """

    __slots__ = ("_lock", "_total", "labels", "pending")

    def __init__(self, labels: Mapping[str, Any]) -> None:
        self.labels = labels
        self.pending: list[Amount] = []
        self._total: Amount = 0
        self._lock = threading.Lock()

    def add(self, amount: Amount) -> None:
        """Add an amount."""
        self.pending.append(amount)
        if len(self.pending) > PENDING_LIMIT:
            self.fold()

    def fold(self) -> None:
        """Move the pending amounts into the total, unless somebody else is doing so."""
        # Never waits: a signal handler may interrupt the thread that holds the lock.
        if self._lock.acquire(blocking=False):
            try:
                self._fold()
            finally:
                self._lock.release()

    def value(self) -> Amount:
        """Return the total."""
        with self._lock:
            self._fold()
            return self._total

    def reset(self) -> None:
        """Start again at 0: in a forked child, whose parent exports what it has counted so far."""
        self._lock = threading.Lock()
        self.pending.clear()
        self._total = 0

    def _fold(self) -> None:
        amounts = self.pending[:]
        self._total += sum(amounts)
        del self.pending[: len(amounts)]


class SumInstrument:
    """A counter or an up-down-counter."""

    def __init__(self) -> None:
        self._series: dict[tuple[tuple[str, Hashable], ...], Sum] = {}
        _instruments.add(self)

    def series(self, labels: Mapping[str, Any]) -> Sum:
        """Return the sum with these labels."""
        key = tuple((name, _hashable(value)) for name, value in labels.items())
        found = self._series.get(key)
        # setdefault is atomic: of two threads that make the same series, both get the first one's.
        return found if found is not None else self._series.setdefault(key, Sum(labels))

    def observe(self, _options: CallbackOptions) -> list[Observation]:
        """Return the totals, for the SDK."""
        return [Observation(one.value(), one.labels) for one in list(self._series.values())]

    def reset(self) -> None:
        """Set every series to 0."""
        for one in self._series.values():
            one.reset()


def _hashable(value: Any) -> Hashable:  # noqa: ANN401 - a label's value
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


class SumInstruments:
    """The sum instruments of one meter provider: one for each name, however many bridges use it.

    The SDK keeps the callback of the first observable instrument of a name, so a bridge that is attached to a
    provider for the second time continues the sums of the first.
    """

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], SumInstrument] = {}

    def get(self, meter: Meter, metric: Metric) -> SumInstrument:
        """Return the instrument of a metric; create it in the meter if it is new."""
        key = meter.name, metric.name
        instrument = self._by_name.get(key)
        if instrument is None:
            instrument = self._by_name[key] = SumInstrument()
            create = meter.create_observable_counter
            if metric.instrument == "updowncounter":
                create = meter.create_observable_up_down_counter
            create(metric.name, [instrument.observe], metric.unit, metric.description)
        return instrument


_instruments: WeakSet[SumInstrument] = WeakSet()
_by_provider: WeakKeyDictionary[MeterProvider, SumInstruments] = WeakKeyDictionary()
_of_global_provider = SumInstruments()


def sum_instruments(provider: MeterProvider | None) -> SumInstruments:
    """Return the sum instruments of a provider; None is the global one."""
    if provider is None:
        return _of_global_provider
    return _by_provider.setdefault(provider, SumInstruments())


def _reset_after_fork() -> None:
    for instrument in list(_instruments):
        instrument.reset()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
