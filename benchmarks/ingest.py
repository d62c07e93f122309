"""Measure audit ingest to SQLite on one core against `executemany` of prepared rows into the same tables.

Both commit with `synchronous=FULL` after each batch. Processor time is measured, because the time that a disk
takes for `fsync` varies more than the rest together.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
import uuid
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

RECORDS = 40_960
BATCH = 8_192  # the Collector's default
BYTES = 500
BOUND = 0.5
TABLES = ("audit_log", "recent_ids", "nodes")


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of ingest and floor, each on new databases.

    Returns:
        Throughput of the sink ÷ throughput of the floor.
    """
    with one_processor():
        pairs = [_pair() for _ in range(rounds)]
    ratio = statistics.median(floor / sink for sink, floor in pairs)
    sink, floor = (statistics.median(column) / RECORDS * 1e6 for column in zip(*pairs, strict=True))
    note = f"executemany of prepared rows: {floor:.1f} µs a record; ingest {sink:.1f} µs, batches of {BATCH}"
    return [Row("audit ingest to SQLite, one core", ratio, BOUND, "at least", rounds, note)]


def _pair() -> tuple[float, float]:
    """Return the seconds that the sink and the floor took for the same records."""
    payloads = [new_payload() for _ in range(RECORDS // BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "log.db")
        sink = ingest(database, payloads)
        return sink, _floor(database, Path(folder, "floor.db"))


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


def _floor(source: Path, target: Path) -> float:
    rows = {table: _rows(source, table) for table in TABLES}
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {_schema.PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")  # the sink's value
    _schema.create(connection)
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
