"""The provider of audit loggers: the resource, the processors, and the end of a process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit._logger import AuditLogger, Pipeline
from assay.audit._processors import AddingProcessor, ForwardingProcessor
from assay.audit.errors import ConfigurationError, ShutdownError
from assay.audit.record import to_pairs
from assay.semconv import attributes as keys

SHUTDOWN_TIMEOUT = 10.0
_FALLBACK_NAME = "unnamed"

_logger = logging.getLogger("assay.audit")


class AuditProvider:
    """Provides the audit loggers of an application. Safe to use from several threads.

    Nothing is sampled, filtered or dropped: neither the provider nor its loggers have an `enabled`.

    Args:
        forwarder: Hands records over: `BatchProcessor` or `SimpleProcessor`.
        resource: Attributes of the emitting service, such as `service.name`.
        processors: Add attributes to each record, in this order, such as `SigningProcessor`.
        sampler: Always refused.

    Raises:
        ConfigurationError: A sampler is given, or two processors set one resource attribute.
    """

    def __init__(
        self,
        forwarder: ForwardingProcessor,
        resource: Mapping[str, Any] | None = None,
        *,
        processors: Sequence[AddingProcessor] = (),
        sampler: object = None,
    ) -> None:
        if sampler is not None:
            raise ConfigurationError("audit records are never sampled: remove the sampler")
        attributes = dict(resource or {})
        for processor in processors:
            if twice := attributes.keys() & processor.resource_attributes.keys():
                raise ConfigurationError(f"the resource has {', '.join(sorted(twice))} twice: set it once")
            attributes.update(processor.resource_attributes)
        self._instance = str(attributes.get(keys.SERVICE_INSTANCE_ID, ""))
        self._pipeline = Pipeline(Resource(attributes=to_pairs(attributes)), tuple(processors), forwarder)
        self._lock = threading.Lock()
        self._loggers: dict[tuple[str, str, str, bool], AuditLogger] = {}

    def get_logger(
        self, name: str, version: str = "", schema_url: str = "", *, chained: bool = False
    ) -> AuditLogger:
        """Return the logger with this name; equal arguments return the same one.

        Args:
            name: The component that emits records. Records do not contain it.
            version: Its version.
            schema_url: The schema of its records.
            chained: Number the logger's records and link each to the one before (`audit.sequence.*`), so
                that a missing one shows.

        Raises:
            ShutdownError: The provider is shut down.
        """
        if self._pipeline.is_closed:
            raise ShutdownError("the audit provider is shut down: it provides no more loggers")
        if not name:
            _logger.warning("an audit logger has no name: pass the name of the component that emits records")
        key = (name or _FALLBACK_NAME, version, schema_url, chained)
        with self._lock:
            if key not in self._loggers:
                self._loggers[key] = AuditLogger(self._pipeline, key[0], self._instance if chained else None)
            return self._loggers[key]

    def force_flush(self, timeout: float = SHUTDOWN_TIMEOUT) -> bool:
        """Send every record that waits.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether the endpoint has accepted all of them, or rejected them for good. True after `shutdown`.
        """
        return self._pipeline.is_closed or self._pipeline.forwarder.force_flush(timeout)

    def shutdown(self, timeout: float = SHUTDOWN_TIMEOUT) -> bool:
        """End the chains, send every record that waits, and stop. A second call has no effect.

        Afterwards `emit` and `emit_async` raise `ShutdownError`.

        Args:
            timeout: Seconds to wait at most. Records that wait after that stay in the queue on disk for the
                next process; a queue in memory loses them, and their futures raise `ExportError`.

        Returns:
            Whether the endpoint has accepted all of them, or rejected them for good.
        """
        with self._lock:
            if self._pipeline.is_closed:
                return True
            deadline = monotonic() + timeout
            for logger in self._loggers.values():
                logger.end_chain()
            self._pipeline.is_closed = True
        return self._pipeline.forwarder.shutdown(max(deadline - monotonic(), 0.0))
