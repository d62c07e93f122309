"""Emits the bus's audit records to the audit endpoint.

On an event loop a record is handed to a queue in memory, so that the loop never waits for the endpoint.
Inside `assay.telemetry.fail_closed`, and outside event loops, the call returns when the endpoint has accepted
it. A record that is not accepted is reported as a handler failure, and counted in `audit.records.dropped`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_tracer_provider

# Creates the counters: they exist before the first record, which loads the rest of the package.
from assay.audit import instruments as _  # noqa: F401
from assay.audit.errors import AuditError, ConfigurationError, ExportError
from assay.distro._settings import Settings
from assay.telemetry import audit_required, bus

if TYPE_CHECKING:
    from concurrent.futures import Future

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from assay.audit import AuditExporter, AuditLogger, AuditReceipt, OTLPAuditExporter

HANDLER_ID = "assay.distro.audit"
"""The `handler_id` of a `telemetry.handler.failure` about a record that waited in the queue."""
INTERVAL = 60.0
"""Seconds between two log messages about lost records."""
RETRIES = 3
BRIEF = 1.0
"""Seconds for a record while the endpoint does not respond."""
UNAUTHORIZED = frozenset({401, 403})

_logger = logging.getLogger("assay.distro.audit")


class AuditEmitter:
    """The audit writer of this process's bridges.

    Args:
        settings: Where records go, and how long a record may wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loggers: dict[int, AuditLogger] = {}
        self._silent_until = 0.0
        self._lost = 0

    def __call__(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> None:
        """Emit one record.

        Raises:
            AuditError: It was not accepted, or on an event loop: not accepted into the queue.
        """
        logger = self._logger_of_process()
        try:
            if audit_required() or not _is_on_event_loop():
                logger.emit_event(event_name, attributes, body, time_unix_nano=time_unix_nano)
                return
            future = logger.submit_event(event_name, attributes, body, time_unix_nano=time_unix_nano)
        except AuditError as error:
            self._report(event_name, error)
            raise
        future.add_done_callback(lambda done: self._check(event_name, done))

    def shutdown(self, timeout: float) -> None:
        """Export the records that wait in the queue; report those that still wait after the timeout.

        Args:
            timeout: Seconds to wait at most.
        """
        logger = self._loggers.get(os.getpid())
        if logger is not None:
            logger.shutdown(timeout)

    def flush(self, timeout: float) -> bool:
        """Export the records that wait in the queue, and return whether none waits any more.

        Args:
            timeout: Seconds to wait at most.
        """
        logger = self._loggers.get(os.getpid())
        return logger is None or logger.flush(timeout)

    def _logger_of_process(self) -> AuditLogger:
        """Return this process's logger; the resource of a forked child has its own instance id."""
        process = os.getpid()
        if process not in self._loggers:
            from assay.audit import AuditLogger  # noqa: PLC0415 - not before the first record

            resource: Resource = getattr(get_tracer_provider(), "resource", Resource.get_empty())
            # Another thread may have been faster: its logger stays.
            self._loggers.setdefault(
                process, AuditLogger(_exporter(self._settings), dict(resource.attributes))
            )
        return self._loggers[process]

    def _check(self, event_name: str, future: Future[AuditReceipt]) -> None:
        error = future.exception()
        if isinstance(error, Exception):
            self._report(event_name, error)
            bus.report_failure(HANDLER_ID, event_name, error)

    def _report(self, event_name: str, error: Exception) -> None:
        self._lost += 1
        now = monotonic()
        if now < self._silent_until:
            return
        self._silent_until = now + INTERVAL
        _logger.error(
            "audit record %s was not accepted: %s (%d lost so far in this process). %s"
            "`assay doctor` shows more.",
            event_name,
            error,
            self._lost,
            _remedy(error),
        )


class _AdaptiveExporter:
    """Exports with retries; while the endpoint does not respond, tries each record once and briefly.

    So an application without a Collector waits long for its first record only.

    Args:
        patient: The exporter with retries.
        brief: The exporter without, and with a short timeout.
    """

    def __init__(self, patient: AuditExporter, brief: AuditExporter) -> None:
        self._patient, self._brief = patient, brief
        self._is_down = False

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        try:
            receipts = (self._brief if self._is_down else self._patient).export(request)
        except ExportError as error:
            self._is_down = not error.is_final
            raise
        self._is_down = False
        return receipts

    def shutdown(self) -> None:
        self._patient.shutdown()
        self._brief.shutdown()


class _UnusableExporter:
    """Rejects every record, because the settings are wrong. So each one counts as dropped.

    Args:
        error: The error about the settings.
    """

    def __init__(self, error: AuditError) -> None:
        self._error = error

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        del request
        raise ConfigurationError(str(self._error)) from self._error

    def shutdown(self) -> None:
        pass


def audit_exporter(settings: Settings, *, retries: int = 0, timeout: float = BRIEF) -> OTLPAuditExporter:
    """Return the exporter that the settings describe; it connects with the first record.

    Raises:
        AuditError: Records must not be sent with these settings.
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


def _exporter(settings: Settings) -> AuditExporter:
    try:
        patient = audit_exporter(settings, retries=RETRIES, timeout=settings.audit_timeout)
        brief = audit_exporter(settings, timeout=min(BRIEF, settings.audit_timeout))
    except AuditError as error:
        return _UnusableExporter(error)
    return _AdaptiveExporter(patient, brief)


def _is_on_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # loaded if a loop runs
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _remedy(error: Exception) -> str:
    """Return a sentence on what to do about a lost record, with a space after it; empty if there is none."""
    if isinstance(error, ExportError) and error.status in UNAUTHORIZED:
        return "Set ASSAY_AUDIT_TOKEN to a token that this endpoint accepts. "
    if isinstance(error, ExportError) and not error.is_final:
        return "Start the Collector, or set ASSAY_AUDIT_ENDPOINT. "
    return ""
