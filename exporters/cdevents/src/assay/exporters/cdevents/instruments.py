"""The exporter's own series, through the OpenTelemetry API."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics

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
