"""Audit records from the bus to the Collector's audit endpoint.

A record that cannot be handed over is counted and reported; it never stops the app.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from opentelemetry.metrics import get_meter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_tracer_provider

from assay.distro.settings import Settings, without_credentials

INTERVAL = 60.0
"""Seconds between two reports of records that were not taken."""

_logger = logging.getLogger("assay.distro.audit")

Emit = Callable[..., object]


class AuditSink:
    """What the bridge calls for each audit record.

    Args:
        connect: Returns `AuditLogger.emit_event`; called with the first record of each process.
        endpoint: Where it sends, for the report.
    """

    def __init__(self, connect: Callable[[], Emit], endpoint: str) -> None:
        self._connect = connect
        self._emit: Emit | None = None
        self._pid = 0
        self._endpoint = endpoint
        self._silent_until = 0.0
        self.failed = 0
        self._counter: Any = None

    def __call__(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> object:
        """Hand one record over; return its receipt, or None if it was not taken."""
        try:
            if self._emit is None or self._pid != os.getpid():
                # a forked child has an instance id and a connection of its own
                self._emit, self._pid = self._connect(), os.getpid()
            return self._emit(event_name, attributes, body, time_unix_nano=time_unix_nano)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the app goes on
            self._report(event_name, error)
            return None

    def _report(self, event_name: str, error: Exception) -> None:
        self.failed += 1
        if self._counter is None:
            self._counter = get_meter("assay.audit").create_counter(
                "audit.records.dropped", unit="{record}", description="Audit records that no sink has taken"
            )
        self._counter.add(1)
        now = monotonic()
        if now < self._silent_until:
            return
        self._silent_until = now + INTERVAL
        _logger.error(
            "audit record %s was not taken by %s: %s (%d lost so far in this process). Start the Collector, or set "
            "ASSAY_AUDIT_ENDPOINT; `assay doctor` tells more.",
            event_name,
            self._endpoint,
            error,
            self.failed,
        )


def audit_sink(settings: Settings) -> AuditSink:
    """Return what the bridge writes audit records with; it opens nothing before the first one."""
    return AuditSink(lambda: _emitter(settings), without_credentials(settings.audit_endpoint))


def _emitter(settings: Settings) -> Emit:
    from assay.audit import AuditLogger, OTLPAuditExporter  # noqa: PLC0415 - imports an HTTP client

    exporter = OTLPAuditExporter(
        settings.audit_endpoint,
        token=settings.audit_token or None,
        certificate=settings.audit_certificate or None,
        client_certificate=settings.audit_client_certificate or None,
        client_key=settings.audit_client_key or None,
        timeout=settings.audit_timeout,
    )
    resource: Resource = getattr(get_tracer_provider(), "resource", Resource.get_empty())
    return AuditLogger(exporter, dict(resource.attributes)).emit_event
