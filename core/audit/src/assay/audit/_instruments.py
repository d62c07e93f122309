"""The metrics of this package, through the OpenTelemetry metrics API.

The counters are observable, over totals of our own. So each series exists from the first collection on, with
0 before the first record, whenever the application sets its meter provider.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation

_meter = metrics.get_meter("assay.audit")


class Total:
    """The total of an observable counter.

    Args:
        meter: Creates the counter.
        name: The counter's name.
        description: The counter's description.
    """

    def __init__(self, meter: Meter, name: str, description: str) -> None:
        self._lock = threading.Lock()
        self._value = 0
        meter.create_observable_counter(name, [self._observe], "{record}", description)

    def add(self, amount: int = 1) -> None:
        """Increase the total."""
        with self._lock:
            self._value += amount

    def reset(self) -> None:
        """Start again at 0, in a forked child, whose parent may have held the lock."""
        self._lock = threading.Lock()
        self._value = 0

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._value)]


EMITTED = Total(_meter, "audit.records.emitted", "Records that callers emitted")
EXPORTED = Total(_meter, "audit.records.exported", "Records that were accepted")
DROPPED = Total(_meter, "audit.records.dropped", "Records that were emitted and not accepted")
DURATION = _meter.create_histogram(
    "audit.export.duration",
    "s",
    "Time from emission to acceptance",
    # The SDK's default bounds are for milliseconds.
    explicit_bucket_boundaries_advisory=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30),
)


def _reset_after_fork() -> None:
    for total in (EMITTED, EXPORTED, DROPPED):
        total.reset()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
