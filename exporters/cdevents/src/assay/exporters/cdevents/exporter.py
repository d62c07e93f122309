"""The exporter itself: batches in, events in the outbox, deliveries out."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Annotated, ClassVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import BaseModel, Field

from assay.exporters.cdevents import cloudevents, instruments
from assay.exporters.cdevents.delivery import Delivery
from assay.exporters.cdevents.errors import CDEventsError, InvalidEvent
from assay.exporters.cdevents.file_sink import FileSettings, FileSink
from assay.exporters.cdevents.http_sink import HTTPSettings, HTTPSink
from assay.exporters.cdevents.mapping import HEADS, Mapped, Mapper, check_source
from assay.exporters.cdevents.outbox import Letter, Outbox
from assay.exporters.cdevents.records import Record, ended_spans, log_events
from assay.exporters.cdevents.sinks import Sink
from assay.host import Batch, Retry, Signal
from assay.semconv.catalogue import Catalogue
from assay.semconv.registry import extended

_log = logging.getLogger("assay.cdevents")
_PRUNE_EVERY = 60.0
_STOP_WITHIN = 5.0

SinkChoice = Annotated[FileSettings | HTTPSettings, Field(discriminator="type")]


class Retention(BaseModel, extra="forbid", frozen=True):
    """How long delivered events are known, so that one that comes again is not sent again."""

    hours: float = Field(default=24.0, gt=0)
    events: int = Field(default=100_000, ge=0)


class Settings(BaseModel, extra="forbid", hide_input_in_errors=True):
    """The exporter's section of the host's configuration."""

    outbox: Path = Field(description="SQLite file of what is not delivered yet.")
    sinks: list[SinkChoice] = Field(min_length=1)
    source: str = Field(
        default="/{service.namespace}/{service.name}",
        description="Template over resource attributes for the events' source.",
    )
    registry: list[Path] = Field(
        default_factory=list[Path],
        description="Registry files with rules of your own; ASSAY_REGISTRY adds to them.",
    )
    draft_types: bool = Field(default=False, description="Also send types of the next version of CDEvents.")
    retention: Retention = Retention()


class CDEventsExporter:
    """Turns log events and spans into CDEvents and delivers them, at least once.

    Args:
        settings: Its section of the configuration.

    Raises:
        CDEventsError: A rule or setting cannot work, or the outbox cannot be opened.
    """

    signals: ClassVar[frozenset[Signal]] = frozenset({"logs", "traces"})
    Settings = Settings

    def __init__(self, settings: Settings) -> None:
        self._sinks = settings.sinks
        self._retention = settings.retention
        self._prune_at = 0.0
        titles = [sink.title for sink in settings.sinks]
        if len(set(titles)) < len(titles):
            raise CDEventsError(f"two sinks have one name: {titles}; give each a `name`")
        catalogue = _catalogue(settings.registry)
        self._mapper = Mapper(
            catalogue, source=check_source(settings.source), draft_types=settings.draft_types
        )
        try:
            settings.outbox.parent.mkdir(parents=True, exist_ok=True)
            self._outbox = Outbox(settings.outbox)
        except (OSError, sqlite3.Error) as error:
            raise CDEventsError(f"the outbox {settings.outbox} cannot be opened: {error}") from error
        instruments.watch(self._outbox)
        self._deliveries = [
            Delivery(sink.title, _sink(sink), self._outbox, sink.retry) for sink in settings.sinks
        ]
        for delivery in self._deliveries:
            delivery.start()

    def export(self, batch: Batch) -> None:
        """Put a batch's events into the outbox; they are on disk when it returns.

        Raises:
            Retry: The outbox cannot be written; nothing of the batch is in it.
        """
        try:
            letters = list(self._letters(_records(batch)))
            added = self._outbox.add(letters) if letters else []
        except sqlite3.Error as error:
            raise Retry(f"the outbox cannot be written: {error}") from error
        self._count(added)
        for delivery in self._deliveries:
            delivery.wake()
        self._prune()

    def shutdown(self) -> None:
        """Stop the deliveries and close the outbox; what is not delivered is sent after the next start."""
        for delivery in self._deliveries:
            delivery.end()
        until = monotonic() + _STOP_WITHIN
        for delivery in self._deliveries:
            delivery.join(max(until - monotonic(), 0.0))
        self._outbox.close()

    def _letters(self, records: Iterable[Record]) -> Iterator[Letter]:
        heads: dict[str, str] = {}
        for record in records:
            for event in self._mapper.events(record):
                self._link(event, heads)
                yield from self._addressed(event)

    def _link(self, event: Mapped, heads: dict[str, str]) -> None:
        """Join an event to its chain: it follows from the newest event that opened the run."""
        if not event.chain:
            return
        if event.chain not in heads:
            heads[event.chain] = self._outbox.head(event.chain, HEADS)
        head = heads[event.chain]
        if head and head != event.id and not event.linked:
            event.follow(head)
        if event.type in HEADS:
            heads[event.chain] = event.id

    def _addressed(self, event: Mapped) -> Iterator[Letter]:
        """Yield the event for each sink that takes it; one that is not valid is for none."""
        subject = event.document["subject"]["id"]
        envelope = cloudevents.envelope(event.document, event.traceparent)
        fault = _fault(envelope)
        names = [sink.title for sink in self._sinks if sink.takes(event.type, subject)]
        for name in [""] if fault else names:
            yield Letter(
                sink=name,
                id=event.id,
                type=event.type,
                subject=f"{event.document['context']['source']} {subject}",
                chain=event.chain,
                document=json.dumps(envelope, ensure_ascii=False, separators=(",", ":")),
                fault=fault,
            )

    def _count(self, added: Sequence[Letter]) -> None:
        for letter in added:
            if letter.fault:
                _log.error("%s %s is not valid and is not sent: %s", letter.type, letter.id, letter.fault)
                instruments.INVALID.add(1, {"type": letter.type})
            else:
                instruments.ACCEPTED.add(1, {"sink": letter.sink})

    def _prune(self) -> None:
        if time() >= self._prune_at:
            self._prune_at = time() + _PRUNE_EVERY
            try:
                self._outbox.prune(
                    older_than=time() - self._retention.hours * 3600, keep=self._retention.events
                )
            except sqlite3.Error as error:
                # What was accepted is accepted; the next batch tries again.
                _log.warning("the outbox cannot be pruned: %s", error)


def _records(batch: Batch) -> Iterator[Record]:
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
