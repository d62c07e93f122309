"""The metrics of this package, through the OpenTelemetry metrics API.

Importing this module creates the instruments. The counters are observable, over totals of our own. So each
series exists before the first record, with 0, whenever the application sets its meter provider. A process
that ends without a record does not report zeros at its end for the first time: that would wait for the
Collector, and nobody could compare them with a second value.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from assay.semconv import metrics as names


class _Reporting:
    """Whether series with 0 are reported.

    Attributes:
        has_begun: Whether they have been reported.
        is_ending: Whether the process ends.
    """

    has_begun = False
    is_ending = False


def end() -> None:
    """Note that the process ends: series with 0 that were not reported until now are left out."""
    _Reporting.is_ending = True


class Total:
    """The total of an observable counter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def __bool__(self) -> bool:
        return self._value > 0

    def add(self, amount: int = 1) -> None:
        """Increase the total."""
        with self._lock:
            self._value += amount

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        """Return the total, for the counter's callback."""
        return [Observation(self._value)] if _is_reported() else []

    def reset(self) -> None:
        """Start again at 0, in a forked child, whose parent may have held the lock."""
        self._lock = threading.Lock()
        self._value = 0


EMITTED, EXPORTED, DROPPED = Total(), Total(), Total()


def _is_reported() -> bool:
    has_records = any((EMITTED, EXPORTED, DROPPED))
    _Reporting.has_begun |= has_records or not _Reporting.is_ending
    return _Reporting.has_begun


class Depth:
    """The depth of the process's queues, once a queue exists."""

    def __init__(self) -> None:
        self._source: Callable[[], int] | None = None

    def follow(self, source: Callable[[], int]) -> None:
        """Observe what a function returns."""
        self._source = source

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        """Return the depth, for the gauge's callback."""
        depth = 0 if self._source is None else self._source()
        return [Observation(depth)] if depth or _is_reported() else []


DEPTH = Depth()

_meter = metrics.get_meter("assay.audit")
_meter.create_observable_counter(
    names.AUDIT_RECORDS_EMITTED, [EMITTED.observe], "{record}", "Audit records emitted by callers."
)
_meter.create_observable_counter(
    names.AUDIT_RECORDS_EXPORTED, [EXPORTED.observe], "{record}", "Audit records accepted by the receiver."
)
_meter.create_observable_counter(
    names.AUDIT_RECORDS_DROPPED,
    [DROPPED.observe],
    "{record}",
    "Audit records that were emitted and not accepted; alert on any.",
)
_meter.create_observable_gauge(
    names.AUDIT_QUEUE_DEPTH,
    [DEPTH.observe],
    "{record}",
    "Audit records that this process has accepted, and that are not confirmed.",
)
DURATION = _meter.create_histogram(
    names.AUDIT_EXPORT_DURATION,
    "s",
    "Time from the emission of an audit record to its acceptance.",
    # The SDK's default bounds are for milliseconds.
    explicit_bucket_boundaries_advisory=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30),
)


def _reset_after_fork() -> None:
    for total in (EMITTED, EXPORTED, DROPPED):
        total.reset()
    _Reporting.has_begun = _Reporting.is_ending = False


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
