"""Audit records from the bus to the Collector's audit endpoint.

A record that cannot be handed over is counted and reported; it never stops the app.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import get_meter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_tracer_provider

from assay.distro.settings import Settings, without_credentials

if TYPE_CHECKING:
    from assay.audit import OTLPAuditExporter

INTERVAL = 60.0
"""Seconds between two reports of records that were not taken."""

_logger = logging.getLogger("assay.distro.audit")

RETRIES = 3
BRIEF = 1.0
"""Seconds for a record while the endpoint is known to be down."""

Emit = Callable[..., object]


class AuditSink:
    """What the bridge calls for each audit record.

    Args:
        connect: Returns `AuditLogger.emit_event`, given how often it may retry and the longest wait in
            seconds.
        timeout: Seconds that a record may wait for the endpoint.
        endpoint: Where it sends, for the report.
    """

    def __init__(self, connect: Callable[[int, float], Emit], endpoint: str, timeout: float) -> None:
        self._connect = connect
        self._timeout = timeout
        self._emitters: dict[tuple[int, bool], Emit] = {}
        self._is_down = False
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
            receipt = self._emitter()(event_name, attributes, body, time_unix_nano=time_unix_nano)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the app goes on
            self._is_down = True
            self._report(event_name, error)
            return None
        self._is_down = False
        return receipt

    def _emitter(self) -> Emit:
        """Return the patient emitter; while the endpoint is down, one that tries once.

        Every record is tried, but an app without a Collector does not wait for each of them. A forked child
        has an instance id of its own, and so its own emitters.
        """
        key = os.getpid(), self._is_down
        if key not in self._emitters:
            patience = (0, min(BRIEF, self._timeout)) if self._is_down else (RETRIES, self._timeout)
            self._emitters[key] = self._connect(*patience)
        return self._emitters[key]

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
            "audit record %s was not taken by %s: %s (%d lost so far in this process). Start the Collector, "
            "or set ASSAY_AUDIT_ENDPOINT; `assay doctor` tells more.",
            event_name,
            self._endpoint,
            error,
            self.failed,
        )


def audit_exporter(settings: Settings, *, retries: int = 0, timeout: float = BRIEF) -> OTLPAuditExporter:
    """Return the exporter that the settings describe; it opens nothing before the first record.

    Raises:
        AuditError: They describe none that may send.
    """
    from assay.audit import OTLPAuditExporter  # noqa: PLC0415 - imports an HTTP client

    return OTLPAuditExporter(
        settings.audit_endpoint,
        token=settings.audit_token,
        certificate=settings.audit_certificate,
        client_certificate=settings.audit_client_certificate,
        client_key=settings.audit_client_key,
        timeout=timeout,
        retries=retries,
    )


def audit_sink(settings: Settings) -> AuditSink:
    """Return what the bridge writes audit records with; it opens nothing before the first one."""

    def connect(retries: int, timeout: float) -> Emit:
        from assay.audit import AuditLogger  # noqa: PLC0415 - imports an HTTP client

        exporter = audit_exporter(settings, retries=retries, timeout=timeout)
        resource: Resource = getattr(get_tracer_provider(), "resource", Resource.get_empty())
        return AuditLogger(exporter, dict(resource.attributes)).emit_event

    return AuditSink(connect, without_credentials(settings.audit_endpoint), settings.audit_timeout)
