"""The exporter's own series, through the OpenTelemetry API."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from assay.exporters.cdevents.outbox import Outbox

_meter = metrics.get_meter("assay.cdevents")

ACCEPTED: Final = _meter.create_counter(
    "assay.cdevents.accepted", "{event}", "Events that came into the outbox, by sink"
)
SENT: Final = _meter.create_counter("assay.cdevents.sent", "{event}", "Events that a sink has taken")
RETRIED: Final = _meter.create_counter("assay.cdevents.retried", "{event}", "Deliveries that failed for now")
DEAD: Final = _meter.create_counter("assay.cdevents.dead", "{event}", "Events that were given up")
INVALID: Final = _meter.create_counter(
    "assay.cdevents.invalid", "{event}", "Events that are not valid and were not sent"
)

_outboxes: WeakSet[Outbox] = WeakSet()


def watch(outbox: Outbox) -> None:
    """Report how many events wait in an outbox, for as long as it is open."""
    _outboxes.add(outbox)


def waiting(_: CallbackOptions) -> Iterable[Observation]:
    """Yield the number of events that wait for each sink."""
    for outbox in list(_outboxes):
        try:
            counts = outbox.counts()
        except sqlite3.Error:
            _outboxes.discard(outbox)
            continue
        for (sink, state), count in counts.items():
            if state == "pending":
                yield Observation(count, {"sink": sink})


_meter.create_observable_gauge("assay.cdevents.pending", [waiting], "{event}", "Events that wait for a sink")
