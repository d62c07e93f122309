"""Measure audit ingest to SQLite on one core against `executemany` of prepared rows.

The rows go into the same tables, and into a table of records with the unique id and the indexes of the seed
(FlowStone ADR-0011 section 5), which a log in PostgreSQL has. All commit with `synchronous=FULL` after each
batch. Processor time is measured, because the time that a disk takes for `fsync` varies more than the rest
together.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit.record import AuditRecord, to_log_record, to_pairs
from assay.exporters.audit import AuditSink, Settings, _schema, load_verifier, verify
from assay.host import Batch
from benchmarks.processes import one_processor
from benchmarks.row import Row

RECORDS = 163_840
BATCH = 8_192  # the Collector's default
BYTES = 500
BOUND = 0.5
TABLES = ("audit_log", "recent_ids", "nodes")
SEED_TABLES = ("audit_log", "nodes")
SEED_INDEXES = """
CREATE UNIQUE INDEX seed_id ON audit_log (id);
CREATE INDEX seed_event_type ON audit_log (event_type);
CREATE INDEX seed_actor ON audit_log (actor_id, actor_type);
CREATE INDEX seed_resource ON audit_log (resource_type, resource_id);
CREATE INDEX seed_correlation ON audit_log (correlation_id);
CREATE INDEX seed_inserted ON audit_log (inserted_at DESC);
"""


def run(rounds: int = 5) -> list[Row]:
    """Measure ingest and both floors, each on new databases.

    Returns:
        Throughput of the sink ÷ throughput of each floor.
    """
    with one_processor():
        measured = [_round() for _ in range(rounds)]
    sinks, seed, same = (list(column) for column in zip(*measured, strict=True))
    return [
        _row("prepared rows with the seed's indexes", sinks, seed, BOUND),
        _row("prepared rows in the same tables", sinks, same, None),
    ]


def _row(floor: str, sinks: list[float], floors: list[float], bound: float | None) -> Row:
    ratio = statistics.median(each / sink for sink, each in zip(sinks, floors, strict=True))
    sink, prepared = (statistics.median(column) / RECORDS * 1e6 for column in (sinks, floors))
    note = f"executemany: {prepared:.1f} µs a record; ingest {sink:.1f} µs, batches of {BATCH}"
    return Row(f"audit ingest to SQLite beside {floor}", ratio, bound, "at least", len(sinks), note)


def _round() -> tuple[float, float, float]:
    """Return the seconds that the sink, and the two floors, took for the same records."""
    payloads = [new_payload() for _ in range(RECORDS // BATCH)]
    with tempfile.TemporaryDirectory() as name:
        log, folder = Path(name, "log.db"), Path(name)
        sink = ingest(log, payloads)
        seed = _floor(log, folder / "seed.db", SEED_TABLES, SEED_INDEXES)
        return sink, seed, _floor(log, folder / "same.db", TABLES)


def ingest(database: Path, payloads: list[bytes]) -> float:
    """Store payloads in a new log, and verify it.

    Args:
        database: The log's database.
        payloads: Requests of a batch each, from `new_payload`.

    Returns:
        Seconds of processor time, without the verification.
    """
    sink = AuditSink(Settings(database=database))
    records = 0
    start = time.process_time()
    for payload in payloads:
        request = ExportLogsServiceRequest.FromString(payload)
        sink.export(Batch("audit", request, payload, "protobuf", "collector", time.time_ns()))
        records += len(request.resource_logs[0].scope_logs[0].log_records)
    seconds = time.process_time() - start
    sink.shutdown()
    found = verify(database, load_verifier(database.with_name("verifier.key")))
    assert (found.records, found.quarantined, found.covered) == (records, 0, records)
    return seconds


def _floor(source: Path, target: Path, tables: Sequence[str], indexes: str = "") -> float:
    """Return the seconds that `executemany` takes for the rows of a log.

    Args:
        source: The log.
        target: The new database.
        tables: The tables whose rows are inserted.
        indexes: Statements that add indexes.
    """
    rows = {table: _rows(source, table) for table in tables}
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {_schema.PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")  # the sink's value
    _schema.create(connection)
    connection.executescript(indexes)
    batches = RECORDS // BATCH
    start = time.process_time()
    for number in range(batches):
        connection.execute("BEGIN IMMEDIATE")
        for table, content in rows.items():
            size = -(-len(content) // batches)
            part = content[number * size : (number + 1) * size]
            marks = ", ".join("?" * len(content[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", part)  # noqa: S608  our own tables
        connection.execute("COMMIT")
    seconds = time.process_time() - start
    connection.close()
    return seconds


def _rows(database: Path, table: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table in the order in which a batch stores them."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  our own tables


def new_payload(count: int = BATCH) -> bytes:
    """Return a request of so many new records."""
    records = [_record() for _ in range(count)]
    size = sum(len(record.SerializeToString()) for record in records) / count
    assert abs(size - BYTES) < BYTES / 20, size
    resource = Resource(attributes=to_pairs({"service.name": "orders", "service.instance.id": "orders-1"}))
    part = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[part]).SerializeToString()


def _record() -> Any:  # noqa: ANN401  a generated message
    return to_log_record(
        AuditRecord(
            event_name="flowstone.checkpoint.approved",
            action="APPROVE",
            outcome="success",
            actor_id="alice@example.com",
            actor_type="user",
            target_id=str(uuid.uuid4()),
            target_type="checkpoint",
            body={"reason": "figures agree with the ledger " * 2, "partition": "2026-11-20"},
            attributes={"assay.correlation_id": str(uuid.uuid4())},
            time_unix_nano=time.time_ns(),
            observed_time_unix_nano=time.time_ns(),
            record_id=str(uuid.uuid4()),
            trace_id=uuid.uuid4().bytes,
            span_id=uuid.uuid4().bytes[:8],
        )
    )
