"""Emits records: completes them from the context, checks them, hands them over, and returns receipts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit import _clock
from assay.audit._chain import Chain
from assay.audit._complete import complete
from assay.audit._entry import Entry, PendingReceipt
from assay.audit._processors import AddingProcessor, ForwardingProcessor
from assay.audit._receipt import AuditReceipt
from assay.audit.bus_events import record_of_event
from assay.audit.canonical import content, encode
from assay.audit.errors import AuditError, ConfigurationError, ShutdownError, UnconfirmedError
from assay.audit.instruments import DROPPED, EMITTED
from assay.audit.record import AuditRecord, check, to_log_record, to_pairs

EMIT_TIMEOUT = 30.0
"""Seconds that `emit` waits for a receipt."""


@dataclass(slots=True)
class Pipeline:
    """The parts that all loggers of a provider share."""

    resource: Resource
    processors: tuple[AddingProcessor, ...]
    forwarder: ForwardingProcessor
    is_closed: bool = False

    def check_open(self, event_name: str) -> None:
        """Raise `ShutdownError` after the provider's shutdown."""
        if self.is_closed:
            raise ShutdownError(f"audit record {event_name!r} was emitted after the provider's shutdown")


class AuditLogger:
    """Emits audit records. `AuditProvider.get_logger` makes loggers. Safe to use from several threads.

    Args:
        pipeline: The provider's.
        name: The component that emits records; messages contain it.
        instance: Part of the stream id of its chain; None: it has no chain.
    """

    def __init__(self, pipeline: Pipeline, name: str, instance: str | None) -> None:
        self._pipeline = pipeline
        self.name = name
        self._chain = None if instance is None else Chain(instance, name)

    def emit(self, record: AuditRecord, *, timeout: float = EMIT_TIMEOUT) -> AuditReceipt:
        """Emit a record, and return its receipt once it is confirmed: by the log, or by the endpoint.

        Blocks: on an event loop, use `emit_async`.

        Args:
            record: The record. Empty fields are filled in from the context and the clock.
            timeout: Seconds to wait at most, with a `BatchProcessor`; a `SimpleProcessor` has its exporter's.

        Raises:
            RecordError: A mandatory field is missing or a field is invalid. Nothing was sent.
            ShutdownError: The provider is shut down. Nothing was sent.
            QueueFullError: The queue cannot take the record. It was not accepted.
            ExportError: The record was rejected, or without a queue: it was not accepted. Emit it again with
                the same `record_id` if `is_final` is False.
            UnconfirmedError: No receipt came in time. The record waits in the queue: do not emit it again.
        """
        pending = self._emit(record, urgent=True)
        try:
            return pending.result(timeout)
        except FutureTimeoutError as error:
            reason = self._pipeline.forwarder.last_error
            raise UnconfirmedError(
                f"audit record {pending.entry.receipt.record_id} was not confirmed within {timeout:g} s: it"
                f" waits in the queue and is sent again: do not emit it again ({reason or 'no receipt yet'})"
            ) from (reason or error)

    def emit_async(self, record: AuditRecord) -> PendingReceipt:
        """Emit a record without blocking, and return the future of its receipt.

        The record is completed from the current context and checked now. The future's `accepted` is done when
        the record is safe: on disk, with a `DiskQueue`. On an event loop, wait for either with
        `asyncio.wrap_future`. A future that fails raises `ExportError`, or `QueueFullError` if the queue
        could not take the record; both mean that it is not accepted. `UnconfirmedError` means that the
        process ended first, and that the next one sends the record.

        Raises:
            RecordError: A mandatory field is missing or a field is invalid. Nothing was sent.
            ShutdownError: The provider is shut down. Nothing was sent.
            QueueFullError: Too many records wait for the queue. This one was not accepted.
            ConfigurationError: The provider has a `SimpleProcessor`, which blocks.
        """
        return self._emit(record, urgent=False)

    def emit_event(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> AuditReceipt:
        """Emit a bus event as a record: the audit writer of a bridge (`Bridge(audit=logger.emit_event)`).

        Args:
            event_name: The bus event's name.
            attributes: `audit.*` and any others. The actor type `api` of the seeds becomes `service`, and the
                body keeps the original.
            body: The event's details.
            time_unix_nano: When it happened, in ns since 1970.

        Raises:
            AuditError: As `emit`.
        """
        return self.emit(record_of_event(event_name, attributes, body, time_unix_nano))

    def end_chain(self) -> None:
        """Emit the last record of the logger's chain, if the logger has one and it has begun."""
        if self._chain is not None and self._chain.number:
            try:
                self._chain.is_ending = True
                self._emit(
                    AuditRecord(
                        event_name="assay.audit.stream.ended",
                        action="END",
                        outcome="success",
                        actor_id="system",
                        actor_type="system",
                    ),
                    urgent=True,
                )
            except AuditError:  # counted as dropped; the chain has no clean end
                return

    def _emit(self, record: AuditRecord, *, urgent: bool) -> PendingReceipt:
        EMITTED.add()
        try:
            self._pipeline.check_open(record.event_name)
            message = to_log_record(complete(record))
            _clock.check_difference(record.event_name, message)
            pending = self._submit(message, urgent=urgent)
        except BaseException:
            DROPPED.add()
            raise
        pending.add_done_callback(_count_failure)
        return pending

    def _submit(self, message: LogRecord, *, urgent: bool) -> PendingReceipt:
        if self._chain is None:
            return self._pipeline.forwarder.submit(self._entry(message), urgent=urgent)
        with self._chain.link() as link:
            message.attributes.extend(to_pairs(link.attributes))
            entry = self._entry(message)
            pending = self._pipeline.forwarder.submit(entry, urgent=urgent)
            link.close(entry.receipt)
        pending.accepted.add_done_callback(link.check)
        return pending

    def _entry(self, message: LogRecord) -> Entry:
        for processor in self._pipeline.processors:
            _add(processor, message)
        covered, _ = content(message)
        record_id = check(covered)
        receipt = AuditReceipt(record_id, hashlib.sha256(encode(covered)).hexdigest())
        part = ResourceLogs(resource=self._pipeline.resource, scope_logs=[ScopeLogs(log_records=[message])])
        return Entry(receipt, part.SerializeToString())


def _add(processor: AddingProcessor, message: LogRecord) -> None:
    copy = LogRecord()
    copy.CopyFrom(message)
    added = processor.additions(copy)
    present = {pair.key for pair in message.attributes}
    if changed := present & added.keys():
        raise ConfigurationError(
            f"the processor {type(processor).__name__} changes {', '.join(sorted(changed))}: a processor of"
            " audit records may only add attributes"
        )
    message.attributes.extend(to_pairs(added))


def _count_failure(future: Future[AuditReceipt]) -> None:
    error = future.exception()
    if error is not None and not isinstance(error, UnconfirmedError):
        DROPPED.add()
