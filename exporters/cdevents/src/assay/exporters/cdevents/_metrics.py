"""The exporter's own metrics, through the OpenTelemetry API."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from assay.exporters.cdevents._outbox import DeliveryOutbox
from assay.semconv import metrics

_meter = get_meter("assay.cdevents")

ACCEPTED: Final = _meter.create_counter(
    metrics.ASSAY_CDEVENTS_ACCEPTED, "{event}", "Events added to the outbox, by sink"
)
SENT: Final = _meter.create_counter(metrics.ASSAY_CDEVENTS_SENT, "{event}", "Events that a sink has accepted")
RETRIED: Final = _meter.create_counter(
    metrics.ASSAY_CDEVENTS_RETRIED, "{event}", "Failed deliveries that are tried again"
)
DEAD: Final = _meter.create_counter(metrics.ASSAY_CDEVENTS_DEAD, "{event}", "Events that were given up")
INVALID: Final = _meter.create_counter(
    metrics.ASSAY_CDEVENTS_INVALID, "{event}", "Events that are not valid and were not sent"
)

_outboxes: WeakSet[DeliveryOutbox] = WeakSet()


def start_counters(sinks: Iterable[str], types: Iterable[str]) -> None:
    """Report 0 for each series that may be counted later, so that `increase()` includes the first count.

    Args:
        sinks: The names of the sinks.
        types: The types of the events that the mapping rules produce.
    """
    for sink in sinks:
        for counter in (ACCEPTED, SENT, RETRIED, DEAD):
            counter.add(0, {"sink": sink})
    for event_type in types:
        INVALID.add(0, {"type": event_type})


def watch(outbox: DeliveryOutbox) -> None:
    """Report the number of pending events of an outbox until it is closed."""
    _outboxes.add(outbox)


def _observe_pending(_: CallbackOptions) -> Iterable[Observation]:
    for outbox in list(_outboxes):
        try:
            counts = outbox.counts()
        except sqlite3.Error:
            _outboxes.discard(outbox)
            continue
        for (sink, state), count in counts.items():
            if state == "pending":
                yield Observation(count, {"sink": sink})


_meter.create_observable_gauge(
    metrics.ASSAY_CDEVENTS_PENDING, [_observe_pending], "{event}", "Events that wait for a sink"
)
