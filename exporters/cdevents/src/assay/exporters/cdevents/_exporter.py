"""The exporter: maps the records of a batch to CDEvents and puts them into the outbox."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated, ClassVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import BaseModel, Field

from assay.exporters.cdevents import _metrics, cloudevents
from assay.exporters.cdevents._clock import now
from assay.exporters.cdevents._delivery import SinkDelivery
from assay.exporters.cdevents._deployments import Deployments
from assay.exporters.cdevents._file_sink import FileSettings, FileSink
from assay.exporters.cdevents._http_sink import HTTPSettings, HTTPSink
from assay.exporters.cdevents._mapping import MappedEvent, Mapper, check_source
from assay.exporters.cdevents._origins import Origins
from assay.exporters.cdevents._outbox import DeliveryOutbox, OutboxEntry
from assay.exporters.cdevents._records import SourceRecord, ended_spans, log_events
from assay.exporters.cdevents._sinks import Sink
from assay.exporters.cdevents.errors import CDEventsError, InvalidEvent
from assay.host import Batch, Retry, Signal
from assay.host.escaping import escaped
from assay.semconv.catalogue import Catalogue
from assay.semconv.registry import extended

_log = logging.getLogger("assay.cdevents")
_PRUNE_EVERY = 60.0
_STOP_WITHIN = 5.0

SinkChoice = Annotated[FileSettings | HTTPSettings, Field(discriminator="type")]


class Retention(BaseModel, extra="forbid", frozen=True):
    """How long the outbox recognizes delivered events, to send none twice, and keeps dead letters."""

    hours: float = Field(
        default=24.0, gt=0, description="Hours that the outbox recognizes a delivered event."
    )
    events: int = Field(default=100_000, ge=0, description="Number of delivered events that it recognizes.")
    dead_hours: float = Field(default=720.0, gt=0, description="Hours that a dead letter is kept.")
    dead_events: int = Field(default=10_000, ge=0, description="Number of dead letters that are kept.")
    deployments: int = Field(
        default=1000,
        ge=1,
        description="Number of deployments of each service that are kept to recognize a rollback.",
    )


class Settings(BaseModel, extra="forbid", hide_input_in_errors=True):
    """The exporter's section of the host's configuration."""

    outbox: Path = Field(description="SQLite file of the events that are not delivered yet.")
    sinks: list[SinkChoice] = Field(min_length=1)
    source: str = Field(
        default="/{service.namespace}/{service.name}",
        description="Template for the events' source, filled with resource attributes.",
    )
    registry: list[Path] = Field(
        default_factory=list[Path],
        description="Registry files with rules of your own; `ASSAY_REGISTRY` adds to them.",
    )
    draft_types: bool = Field(default=False, description="Also send types of the next version of CDEvents.")
    legacy_types: bool = Field(
        default=False,
        description="Also send types that CDEvents does not define, as `dev.cdevents.deployment.started`,"
        " for consumers that expect them.",
    )
    retention: Retention = Retention()


class CDEventsExporter:
    """Maps log events and spans to CDEvents and delivers them at least once.

    Args:
        settings: The exporter's section of the configuration.

    Raises:
        CDEventsError: A rule or setting is not valid, or the outbox cannot be opened.
    """

    signals: ClassVar[frozenset[Signal]] = frozenset({"logs", "traces"})
    Settings = Settings

    def __init__(self, settings: Settings) -> None:
        self._sinks = settings.sinks
        self._retention = settings.retention
        self._prune_at = 0.0
        titles = [sink.title for sink in settings.sinks]
        if len(set(titles)) < len(titles):
            raise CDEventsError(f"two sinks have the same name: {titles}; give each a `name`")
        catalogue = _catalogue(settings.registry)
        self._source = check_source(settings.source)
        self._mapper = Mapper(
            catalogue,
            source=self._source,
            draft_types=settings.draft_types,
            legacy_types=settings.legacy_types,
        )
        try:
            settings.outbox.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._outbox = DeliveryOutbox(settings.outbox, deployments=self._retention.deployments)
        except (OSError, sqlite3.Error) as error:
            raise CDEventsError(f"cannot open the outbox {settings.outbox}: {error}") from error
        _metrics.start_counters(titles, self._mapper.types)
        _metrics.watch(self._outbox)
        self._deliveries = [
            SinkDelivery(sink.title, _sink(sink), self._outbox, sink.retry) for sink in settings.sinks
        ]
        for delivery in self._deliveries:
            delivery.start()

    def export(self, batch: Batch) -> None:
        """Add a batch's events to the outbox; they are on disk when this returns.

        Raises:
            Retry: The outbox cannot be written; it contains nothing of the batch.
        """
        try:
            deployments = Deployments(self._outbox, source=self._source)
            entries = list(self._entries(map(deployments.classified, _records(batch))))
            added = self._outbox.add(entries, deployments.new) if entries else []
        except sqlite3.Error as error:
            raise Retry(f"cannot write to the outbox: {error}") from error
        self._count(added)
        for delivery in self._deliveries:
            delivery.wake()
        self._prune()

    def shutdown(self) -> None:
        """Stop the deliveries and close the outbox; the rest is sent after the next start."""
        for delivery in self._deliveries:
            delivery.stop()
        deadline = monotonic() + _STOP_WITHIN
        for delivery in self._deliveries:
            delivery.join(max(deadline - monotonic(), 0.0))
        self._outbox.close()

    def _entries(self, records: Iterable[SourceRecord]) -> Iterator[OutboxEntry]:
        origins = Origins(self._outbox)
        for record in records:
            for event in self._mapper.events(record):
                yield from self._entries_of(event, origins)

    def _entries_of(self, event: MappedEvent, origins: Origins) -> Iterator[OutboxEntry]:
        """Yield one entry for each sink that accepts the event; for an invalid event one without a sink."""
        subject = event.document["subject"]["id"]
        fault = _fault(cloudevents.envelope(event.checked_document, event.traceparent))
        names = [sink.title for sink in self._sinks if sink.accepts(event.document)]
        for name in [""] if fault else names:
            linked = event.document if fault else event.linked_from(origins.of(event, name))
            envelope = cloudevents.envelope(linked, event.traceparent)
            yield OutboxEntry(
                sink=name,
                id=event.id,
                type=event.type,
                subject=f"{event.document['context']['source']} {subject}",
                chain=event.chain,
                document=json.dumps(envelope, ensure_ascii=False, separators=(",", ":")),
                fault=fault,
            )
            if not fault:
                origins.accept(event, name)

    def _count(self, added: Sequence[OutboxEntry]) -> None:
        for entry in added:
            if entry.fault:
                _log.error(
                    "%s %s is not valid and will not be sent: %s", entry.type, entry.id, escaped(entry.fault)
                )
                _metrics.INVALID.add(1, {"type": entry.type})
            else:
                _metrics.ACCEPTED.add(1, {"sink": entry.sink})

    def _prune(self) -> None:
        if monotonic() >= self._prune_at:
            self._prune_at = monotonic() + _PRUNE_EVERY
            keep, prune = self._retention, self._outbox.prune
            try:
                prune("sent", older_than=now() - keep.hours * 3600, keep=keep.events)
                deleted = prune("dead", older_than=now() - keep.dead_hours * 3600, keep=keep.dead_events)
                if deleted:
                    _log.error("%d dead letters were deleted: see retention in the settings", deleted)
            except sqlite3.Error as error:
                # The batch is accepted already; a later batch tries again.
                _log.warning("cannot prune the outbox: %s", error)


def _records(batch: Batch) -> Iterator[SourceRecord]:
    if isinstance(batch.request, ExportLogsServiceRequest):
        yield from log_events(batch.request, batch.received_unix_nano)
    elif isinstance(batch.request, ExportTraceServiceRequest):
        yield from ended_spans(batch.request)


def _fault(envelope: object) -> str:
    try:
        cloudevents.check(envelope)
    except InvalidEvent as error:
        return str(error)
    return ""


def _catalogue(paths: Sequence[Path]) -> Catalogue:
    named = [Path(path) for path in os.environ.get("ASSAY_REGISTRY", "").split(os.pathsep) if path]
    files = [*paths, *(path for path in named if path not in paths)]
    return extended(*files)


def _sink(settings: FileSettings | HTTPSettings) -> Sink:
    return FileSink(settings) if isinstance(settings, FileSettings) else HTTPSink(settings)
