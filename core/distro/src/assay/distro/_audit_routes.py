"""The ways of an audit record out of this process: through a queue on disk, or without one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any, Protocol

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.audit import (
    AuditExporter,
    AuditProvider,
    AuditRecord,
    BatchProcessor,
    DiskQueue,
    MemoryQueue,
    PendingReceipt,
    SimpleProcessor,
)
from assay.audit.errors import AuditError, ConfigurationError, ExportError
from assay.distro._audit_queue import BRIEF, audit_exporter, audit_receipts, queue_or_none
from assay.distro._audit_remedies import remedy
from assay.distro._settings import Settings

RETRIES = 3
DELAY = 1.0
"""Seconds that a record waits for others."""
_NAME = "assay.distro"

_logger = logging.getLogger("assay.distro.audit")


class Route(Protocol):
    """Takes records."""

    def emit(self, record: AuditRecord) -> PendingReceipt | None:
        """Return once the record is accepted, with the future of its receipt unless it has arrived already.

        Raises:
            AuditError: It is not accepted.
        """
        ...

    def emit_async(self, record: AuditRecord) -> PendingReceipt | None:
        """Take a record without blocking, and return the future of its receipt.

        Raises:
            AuditError: It cannot be accepted.
        """
        ...

    def provider(self) -> AuditProvider:
        """Return the provider of the application's own records, which does not block.

        Raises:
            ConfigurationError: The settings are wrong.
        """
        ...

    def flush(self, timeout: float) -> bool:
        """Send what waits, and return whether nothing waits any more."""
        ...

    def shutdown(self, timeout: float) -> None:
        """Send what waits, and stop."""
        ...


def route(settings: Settings, resource: Mapping[str, Any]) -> Route:
    """Return the route that the settings describe.

    Args:
        settings: Where records wait and go.
        resource: The attributes of this process's resource.
    """
    try:
        exporter = audit_exporter(settings, timeout=settings.audit_timeout)
        receipts = audit_receipts(settings)
    except AuditError as error:
        return RefusingRoute(error)
    queue = queue_or_none(settings)
    if queue is None:
        patient = audit_exporter(settings, retries=RETRIES, timeout=settings.audit_timeout)
        brief = audit_exporter(settings, timeout=min(BRIEF, settings.audit_timeout))
        return DirectRoute(_AdaptiveExporter(patient, brief), exporter, resource)
    processor = BatchProcessor(exporter, queue, receipts=receipts, delay=DELAY)
    return QueueRoute(AuditProvider(processor, resource), processor, queue)


class QueueRoute:
    """Through the queue on disk: a record is accepted when it is there.

    Args:
        provider: Emits records.
        processor: Its processor.
        queue: The queue of the processor.
    """

    def __init__(self, provider: AuditProvider, processor: BatchProcessor, queue: DiskQueue) -> None:
        self._provider, self._processor, self._queue = provider, processor, queue
        self._audit_logger = provider.get_logger(_NAME)

    def emit(self, record: AuditRecord) -> PendingReceipt:
        pending = self._audit_logger.emit_async(record)
        pending.accepted.result()
        return pending

    def emit_async(self, record: AuditRecord) -> PendingReceipt:
        return self._audit_logger.emit_async(record)

    def provider(self) -> AuditProvider:
        return self._provider

    def flush(self, timeout: float) -> bool:
        return self._provider.force_flush(timeout)

    def shutdown(self, timeout: float) -> None:
        if not self._provider.shutdown(timeout):
            error = self._processor.last_error
            _logger.warning(
                "audit records wait in %s: %s. %sThe next process sends them, or `assay audit flush` does.",
                self._queue.folder,
                error or "the exit timeout is over",
                remedy(error),
            )


class DirectRoute:
    """Without a queue on disk: a record is accepted when the endpoint has it.

    Args:
        exporter: Sends the records of callers that wait.
        queued: Sends the records of event loops, which wait in memory.
        resource: The attributes of this process's resource.
    """

    def __init__(self, exporter: AuditExporter, queued: AuditExporter, resource: Mapping[str, Any]) -> None:
        self._direct = AuditProvider(SimpleProcessor(exporter), resource)
        self._queued = AuditProvider(BatchProcessor(queued, MemoryQueue(), delay=DELAY), resource)

    def emit(self, record: AuditRecord) -> None:
        self._direct.get_logger(_NAME).emit(record)

    def emit_async(self, record: AuditRecord) -> PendingReceipt:
        return self._queued.get_logger(_NAME).emit_async(record)

    def provider(self) -> AuditProvider:
        return self._queued

    def flush(self, timeout: float) -> bool:
        return self._queued.force_flush(timeout)

    def shutdown(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        self._queued.shutdown(timeout)
        self._direct.shutdown(max(deadline - monotonic(), 0.0))


class RefusingRoute:
    """Refuses every record, because the settings are wrong. So each one counts as dropped.

    Args:
        error: The error about the settings.
    """

    def __init__(self, error: AuditError) -> None:
        self._error = error
        self._audit_logger = AuditProvider(SimpleProcessor(_UnusableExporter(error))).get_logger(_NAME)

    def emit(self, record: AuditRecord) -> None:
        self._audit_logger.emit(record)

    emit_async = emit

    def provider(self) -> AuditProvider:
        raise ConfigurationError(str(self._error)) from self._error

    def flush(self, timeout: float) -> bool:
        del timeout
        return True

    def shutdown(self, timeout: float) -> None:
        pass


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
    def __init__(self, error: AuditError) -> None:
        self._error = error

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        del request
        raise ConfigurationError(str(self._error)) from self._error

    def shutdown(self) -> None:
        pass
