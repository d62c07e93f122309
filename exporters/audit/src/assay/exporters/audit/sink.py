"""The sink: takes audit records from the exporter host and answers when they are on disk."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pydantic
from opentelemetry import metrics
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from starlette.routing import Route

from assay.exporters.audit import batch as batches
from assay.exporters.audit.batch import Entries
from assay.exporters.audit.entry import Quarantined
from assay.exporters.audit.errors import AuditLogError, ConflictError
from assay.exporters.audit.log import Log, Paths
from assay.exporters.audit.receipts import receipt_route
from assay.host import Batch, Rejected, Result, Retry, Signal

logger = logging.getLogger(__name__)

_meter = metrics.get_meter("assay.exporters.audit")
_stored = _meter.create_counter(
    "audit.sink.records", "{record}", "Records that hold and were taken, repeats included"
)
_quarantined = _meter.create_counter(
    "audit.sink.quarantined", "{entry}", "What went to quarantine: alert on it"
)
_ID = 0  # place of the record's id in a row


class Settings(pydantic.BaseModel, extra="forbid"):
    """The exporter's section of the host's configuration.

    Args:
        database: The log; its folder is made when it is missing.
        origin: Name of the log, for ever; such as `audit.example.com/log`. Empty: a new log is named after
            the host.
        key: Signing key, made at the first start; default: `signing.key` beside the database.
        checkpoint: File for the newest checkpoint; default: `checkpoint` beside the database.
        verifier_key: File for the public key; default: `verifier.key` beside the database.
        checkpoint_records: Sign a checkpoint after so many entries,
        checkpoint_seconds: or after so many seconds.
        record_bytes: How long a record may be with its resource.
    """

    database: Path
    origin: str = ""
    key: Path | None = None
    checkpoint: Path | None = None
    verifier_key: Path | None = None
    checkpoint_records: int = pydantic.Field(default=1000, ge=1)
    checkpoint_seconds: float = pydantic.Field(default=1.0, gt=0)
    record_bytes: int = pydantic.Field(default=1 << 20, ge=1024)

    def paths(self) -> Paths:
        """Return where everything is."""
        beside = self.database.parent
        return Paths(
            self.database,
            self.key or beside / "signing.key",
            self.checkpoint or beside / "checkpoint",
            self.verifier_key or beside / "verifier.key",
        )


class AuditSink:
    """The exporter `audit`.

    Args:
        settings: Its section of the configuration.

    Raises:
        OpenError: The log cannot be opened, or another process has it.
        KeyFormatError: The signing key cannot be read.
    """

    signals: ClassVar[frozenset[Signal]] = frozenset({"audit"})
    undecodable: ClassVar[bool] = True
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = Log(
            settings.paths(),
            settings.origin,
            checkpoint_records=settings.checkpoint_records,
            checkpoint_seconds=settings.checkpoint_seconds,
        )
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="assay-audit-checkpoints", daemon=True)
        self._ticker.start()

    def export(self, batch: Batch) -> Result:
        """Store a batch; returns when it is on disk.

        Raises:
            Retry: The database cannot be written now, such as on a full disk. Nothing was stored.
            Rejected: From a direct sender: a record does not hold (400), or its id is taken (409). Nothing
                was stored.
        """
        entries = self._read(batch)
        if entries.bad and batch.peer == "direct":
            first = entries.bad[0]
            name = first.record_id or "without an id"
            raise Rejected(f"record {name}: {first.reason}; no record of the batch is stored")
        try:
            bad = self._log.append(entries, conflicts_to_quarantine=batch.peer == "collector")
        except ConflictError as error:
            raise Rejected(f"{error}; no record of the batch is stored", status=409) from error
        except sqlite3.Error as error:
            raise Retry(f"the audit log cannot be written: {error}") from error
        self._count(len(entries.rows), bad)
        return Result(self._receipts(entries) if batch.peer == "direct" else ())

    def routes(self) -> Sequence[Route]:
        """Return `GET /v1/audit/receipts/{record_id}`."""
        return [receipt_route(self._settings.database)]

    def shutdown(self) -> None:
        """Sign a last checkpoint and close the log."""
        self._closed.set()
        self._ticker.join()
        self._log.close()

    def _read(self, batch: Batch) -> Entries:
        if isinstance(batch.request, ExportLogsServiceRequest):
            return batches.read(batch.request, batch.received_unix_nano, self._settings.record_bytes)
        reason = batch.error or "no OTLP logs request"
        return Entries(
            batch.received_unix_nano, bad=[Quarantined("batch", reason, batch.encoding, batch.payload)]
        )

    def _receipts(self, entries: Entries) -> list[Mapping[str, Any]]:
        """Return a receipt for each record; a record that came before has the timestamp of then."""
        return [found for row in entries.rows if (found := self._log.stored(row[_ID])) is not None]

    def _count(self, records: int, bad: Sequence[Quarantined]) -> None:
        _stored.add(records)
        for entry in bad:
            _quarantined.add(1, {"kind": entry.kind})
            logger.warning("quarantined %s %s: %s", entry.kind, entry.record_id or "", entry.reason)

    def _tick(self) -> None:
        while not self._closed.wait(self._settings.checkpoint_seconds):
            try:
                self._log.checkpoint()
            except (sqlite3.Error, AuditLogError) as error:  # noqa: PERF203  once a second
                logger.warning("no checkpoint could be signed: %s", error)
