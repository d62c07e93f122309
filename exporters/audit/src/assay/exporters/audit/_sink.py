"""The exporter `audit`: it stores audit records from the exporter host and acknowledges them once on disk."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import pydantic
from opentelemetry.metrics import get_meter
from pydantic import Field
from starlette.routing import Route

from assay.audit.record import RECOMMENDED
from assay.exporters.audit._arrivals import ArrivalFault, Arrivals
from assay.exporters.audit._arrivals import Kind as FaultKind
from assay.exporters.audit._batch import BatchEntries, Rules, read_batch
from assay.exporters.audit._entry import Kind, QuarantineEntry, Row
from assay.exporters.audit._errors import AuditLogError, OpenError, RecordIdConflictError
from assay.exporters.audit._log import Appended, Log, LogPaths
from assay.exporters.audit._postgresql_address import Location, PostgreSQL
from assay.exporters.audit._receipts import new_receipt, receipt_route, receipts_route
from assay.exporters.audit._restored import restore
from assay.exporters.audit._tile_routes import tiles_route
from assay.exporters.audit._tiles import LONGEST_ENTRY
from assay.exporters.audit._trust import TrustStore
from assay.exporters.audit._witness_client import Outcome, WitnessClient, load_policy
from assay.host import Batch, Rejected, Result, Retry, Signal
from assay.host.escaping import escaped
from assay.host.private_files import private_folder
from assay.proof.policy import Policy
from assay.semconv import metrics

logger = logging.getLogger(__name__)

_meter = get_meter("assay.exporters.audit")
_records = _meter.create_counter(
    metrics.AUDIT_SINK_RECORDS, "{record}", "Valid audit records that the sink received, repeats included"
)
_quarantined = _meter.create_counter(
    metrics.AUDIT_SINK_QUARANTINED, "{entry}", "Entries that the sink put into quarantine; alert on any"
)
_deviations = _meter.create_counter(
    metrics.AUDIT_SINK_DEVIATIONS, "{record}", "Valid records that do not follow a recommendation"
)
_cosignatures = _meter.create_counter(
    metrics.AUDIT_SINK_COSIGNATURES, "{request}", "Requests to witnesses for a cosignature, by their outcome"
)
_unwitnessed = _meter.create_gauge(
    metrics.AUDIT_SINK_UNWITNESSED,
    "{entry}",
    "Entries that no checkpoint with its quorum of cosignatures covers",
)
_chain_faults = _meter.create_counter(
    metrics.AUDIT_SINK_CHAIN_FAULTS, "{fault}", "Faults of producers' chains found at arrival; alert on any"
)
_ID = 0  # position of the record's id in a row


def _address(database: Any) -> Any:  # noqa: ANN401  as the configuration has it
    if isinstance(database, str) and PostgreSQL.is_address(database):
        try:
            return PostgreSQL(database)
        except OpenError as error:
            raise ValueError(str(error)) from None
    return database


class Settings(pydantic.BaseModel, extra="forbid"):
    """The exporter's section of the host's configuration."""

    database: Annotated[Location, pydantic.BeforeValidator(_address)] = Field(
        description="The log's database: an SQLite file, whose folder is created when it is missing; or a"
        " PostgreSQL database, as postgresql://user@host/database without a password."
    )
    password_file: Path | None = Field(
        default=None,
        description="File of the password for PostgreSQL. Default: libpq's PGPASSFILE or ~/.pgpass.",
    )
    folder: Path | None = Field(
        default=None,
        description="Folder of the log's keys and checkpoints, one for each exporter host. Default: that of"
        " the SQLite file.",
    )
    origin: str = Field(
        default="",
        description="Permanent name of the log, such as audit.example.com/log. Default: from the host name.",
    )
    key: Path | None = Field(
        default=None,
        description="Signing key, created at the first start. Default: signing.key in the folder.",
    )
    previous_keys: tuple[Path, ...] = Field(
        default=(),
        description="Signing keys that `key` replaces. They sign every checkpoint too, until they are removed"
        " here.",
    )
    checkpoint: Path | None = Field(
        default=None,
        description="File of the newest checkpoint. Default: checkpoint in the folder.",
    )
    verifier_key: Path | None = Field(
        default=None,
        description="File of the verifier keys, one a line. Default: verifier.key in the folder.",
    )
    checkpoint_records: int = Field(
        default=1000, ge=1, description="Entries after which a checkpoint is signed."
    )
    checkpoint_seconds: float = Field(
        default=1.0, gt=0, description="Seconds after which a checkpoint is signed."
    )
    record_bytes: int = Field(
        default=LONGEST_ENTRY,
        ge=1024,
        le=LONGEST_ENTRY,
        description="Longest record that is accepted, with its resource, in bytes. C2SP tlog-tiles allows no"
        " longer leaf.",
    )
    batch_bytes: int = Field(
        default=64 << 20,
        ge=1024,
        description="Bytes of all records of one batch, each with its resource. A longer batch is refused"
        " with 413, or, from a Collector, put into quarantine as a whole.",
    )

    ahead_seconds: float = Field(
        default=5.0,
        ge=0,
        description="How far the observed time of a record may be ahead of the sink's clock, in seconds.",
    )
    trust: Path | None = Field(
        default=None,
        description="Trust store, a YAML file with the keys of signed records. Without one a signed record is"
        " invalid.",
    )

    chain_seconds: float = Field(
        default=60.0,
        ge=0,
        description="Seconds that a record of a producer's chain waits for the one before it, until a gap is"
        " reported.",
    )
    witness_policy: Path | None = Field(
        default=None,
        description="Policy of witnesses, a file in the format of C2SP tlog-policy whose witnesses have URLs."
        " The sink asks them to cosign each checkpoint. Over HTTP it publishes the newest checkpoint that has"
        " its quorum.",
    )
    witness_authorities: Path | None = Field(
        default=None,
        description="PEM file of the authorities of the witnesses' certificates. Default: those of certifi.",
    )
    witness_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Seconds without a quorum of cosignatures after which the health endpoint warns.",
    )

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Settings:
        if isinstance(self.database, PostgreSQL):
            if self.folder is None:
                raise ValueError("a log in PostgreSQL needs the setting folder, for its keys and checkpoints")
            self.database = replace(self.database, password_file=self.password_file)
        elif self.password_file is not None:
            raise ValueError("password_file is for PostgreSQL, and database is an SQLite file")
        return self

    def paths(self) -> LogPaths:
        """Return the database and the files of the log."""
        folder = self.folder or (self.database.parent if isinstance(self.database, Path) else Path())
        return LogPaths(
            self.database,
            (self.key or folder / "signing.key", *self.previous_keys),
            self.checkpoint or folder / "checkpoint",
            self.verifier_key or folder / "verifier.key",
        )


class AuditSink:
    """The exporter `audit`.

    Args:
        settings: Its section of the configuration.

    Raises:
        OpenError: The log cannot be opened, or another process has it open.
        KeyFormatError: The signing key, the trust store or the policy cannot be read, or the origin cannot
            name a log.
    """

    signals: ClassVar[frozenset[Signal]] = frozenset({"audit"})
    undecodable: ClassVar[bool] = True
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.folder is not None:
            _create(settings.folder)
        policy = None if settings.witness_policy is None else load_policy(settings.witness_policy)
        self._rules = Rules(
            TrustStore(settings.trust), settings.record_bytes, settings.batch_bytes, settings.ahead_seconds
        )
        self._log = Log(
            settings.paths(),
            settings.origin,
            checkpoint_records=settings.checkpoint_records,
            checkpoint_seconds=settings.checkpoint_seconds,
        )
        self._arrivals = Arrivals(settings.chain_seconds)
        restore(self._arrivals, settings.database)
        _declare_counters()
        self._witnesses = None if policy is None else self._ask_witnesses(policy)
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="assay-audit-checkpoints", daemon=True)
        self._ticker.start()

    def export(self, batch: Batch) -> Result:
        """Store a batch; it is on disk when this returns.

        Raises:
            Retry: The database cannot be written now, for example because the disk is full. Nothing was
                stored.
            Rejected: A direct sender's record is invalid (400), its id is stored with other content (409),
                or its batch is too long (413). Nothing was stored.
        """
        entries = self._read(batch)
        if batch.peer == "direct":
            _require_valid(entries)
        try:
            appended = self._log.append(entries, conflicts_to_quarantine=batch.peer == "collector")
        except RecordIdConflictError as error:
            raise Rejected(f"{error}; no record of the batch is stored", status=409) from error
        except (sqlite3.Error, AuditLogError) as error:
            raise Retry(f"the audit log cannot be written: {error}") from error
        self._count(entries, appended.quarantined)
        self._check_chains(entries, appended.rows)
        return Result(self._receipts(entries, appended) if batch.peer == "direct" else ())

    def routes(self) -> Sequence[Route]:
        """Return the routes of receipts, of one record and of many, and that of the log as tiles."""
        database = self._settings.database
        return [
            receipt_route(database),
            receipts_route(database),
            tiles_route(database, witnessed=self._witnesses is not None),
        ]

    def problem(self) -> str:
        """Return what an operator must know although batches are accepted; empty if there is nothing."""
        return "" if self._witnesses is None else self._witnesses.problem()

    def shutdown(self) -> None:
        """Sign a last checkpoint, have it cosigned, and close the log."""
        self._closed.set()
        self._ticker.join()
        self._try_checkpoint()
        if self._witnesses is not None:
            self._witnesses.stop()
        self._log.close()

    def _ask_witnesses(self, policy: Policy) -> WitnessClient:
        for key in policy.keys:
            for outcome in get_args(Outcome):
                _cosignatures.add(0, {"witness": key.name, "outcome": outcome})
        return WitnessClient(
            self._log,
            policy,
            authorities=self._settings.witness_authorities,
            grace=self._settings.witness_seconds,
            count=_count_request,
        )

    def _read(self, batch: Batch) -> BatchEntries:
        self._reload_trust()
        try:
            return read_batch(batch, self._rules)
        except MemoryError:  # may succeed later
            raise
        except Exception as error:  # noqa: BLE001  the cause is a defect, so its type is not known
            # A retry would fail again, and its sender would send the batch for ever.
            reason = f"the sink failed to read it: {type(error).__name__}"
            logger.error("a batch goes to quarantine: %s", reason)  # noqa: TRY400  a traceback may show payload
            return BatchEntries(batch, unreadable=reason)

    def _receipts(self, entries: BatchEntries, appended: Appended) -> list[Mapping[str, Any]]:
        """Return a receipt for each record; a repeated record has the timestamp of its first delivery."""
        sink_time = entries.batch.received_unix_nano
        new = {row[_ID]: new_receipt(row, sink_time) for row in appended.rows}
        found = (new.get(row[_ID]) or self._log.receipt(row[_ID]) for row in entries.rows)
        return [receipt for receipt in found if receipt is not None]

    def _check_chains(self, entries: BatchEntries, stored: Sequence[Row]) -> None:
        """Report broken chains of the records that were stored; a repeated record is not checked again."""
        for row in stored if entries.sequenced else ():
            record = entries.sequenced.get(row[_ID])
            if record is not None:
                _report_faults(self._arrivals.add(record, entries.batch.received_unix_nano))

    def _reload_trust(self) -> None:
        """Read the trust store again if it has changed; if that fails, the keys stay as they were."""
        try:
            self._rules.trust.reload()
        except AuditLogError as error:
            logger.error("the trust store is not reloaded: %s", error)  # noqa: TRY400  its text says all

    def _count(self, entries: BatchEntries, quarantined: Sequence[QuarantineEntry]) -> None:
        _records.add(len(entries.rows))
        for name, records in entries.deviations.items():
            _deviations.add(records, {"recommendation": name})
        for entry in quarantined:
            _quarantined.add(1, {"kind": entry.kind})
            logger.warning(
                "quarantined %s %s: %s", entry.kind, escaped(entry.record_id or ""), escaped(entry.reason)
            )

    def _tick(self) -> None:
        while not self._closed.wait(self._settings.checkpoint_seconds):
            self._try_checkpoint()
            _report_faults(self._arrivals.overdue(time.time_ns()))
            if self._witnesses is not None:
                _unwitnessed.set(self._log.size - self._witnesses.witnessed)

    def _try_checkpoint(self) -> None:
        try:
            self._log.checkpoint()
        except (sqlite3.Error, OSError, AuditLogError) as error:
            logger.warning("the checkpoint cannot be signed: %s", error)


def _create(folder: Path) -> None:
    try:
        private_folder(folder)
    except OSError as error:
        raise OpenError(f"{folder}: the folder cannot be created: {error.strerror}") from error


def _require_valid(entries: BatchEntries) -> None:
    """Raise `Rejected` unless all records of a direct sender's batch are valid."""
    if entries.unreadable:
        raise Rejected(
            f"{entries.unreadable}; no record of the batch is stored", status=413 if entries.too_long else 400
        )
    if entries.invalid:
        first = entries.invalid[0]
        name = escaped(first.record_id or "without an id")
        raise Rejected(f"record {name}: {escaped(first.reason)}; no record of the batch is stored")


def _report_faults(faults: Sequence[ArrivalFault]) -> None:
    for fault in faults:
        _chain_faults.add(1, {"fault": fault.kind})
        logger.error("security event: the chain of a producer is broken, %s", escaped(fault))


def _count_request(witness: str, outcome: Outcome) -> None:
    _cosignatures.add(1, {"witness": witness, "outcome": outcome})


def _declare_counters() -> None:
    """Add 0 to each series: `increase()` sees a first record only if its series existed before."""
    _records.add(0)
    for name in RECOMMENDED:
        _deviations.add(0, {"recommendation": name})
    for kind in get_args(Kind):
        _quarantined.add(0, {"kind": kind})
    for fault in get_args(FaultKind):
        _chain_faults.add(0, {"fault": fault})
