from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit.record import AuditRecord, to_log_record, to_pairs
from assay.exporters.audit import AuditSink, Settings, VerifierKey, load_verifier
from assay.host import Batch, Host, HostConfig
from assay.proof.tree import Frontier, leaf_hash

ORIGIN = "audit.test/log"
LEAVES = """SELECT leaf_hash FROM (SELECT leaf_index, leaf_hash FROM audit_log
            UNION ALL SELECT leaf_index, leaf_hash FROM quarantine) ORDER BY leaf_index"""


def make_record(**change: Any) -> LogRecord:
    now = time.time_ns()
    fields: dict[str, Any] = {
        "event_name": "flowstone.checkpoint.approved",
        "action": "APPROVE",
        "outcome": "success",
        "actor_id": "alice@example.com",
        "actor_type": "user",
        "target_id": "approval-1",
        "target_type": "checkpoint",
        "source_id": "203.0.113.7",
        "source_type": "ipv4",
        "body": {"reason": "looks good", "score": 1.0, "parts": [1, 2**60, None]},
        "attributes": {"assay.correlation_id": "run-1", "user_agent.original": "curl/8"},
        "time_unix_nano": now,
        "observed_time_unix_nano": now,
        "record_id": str(uuid.uuid4()),
    }
    return to_log_record(AuditRecord(**{**fields, **change}))


def make_batch(*records: LogRecord, peer: str = "direct") -> Batch:
    resource = Resource(attributes=to_pairs({"service.name": "orders", "resource": 1.0}))
    request = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=records)])]
    )
    return Batch("audit", request, request.SerializeToString(), "protobuf", peer, time.time_ns())


@pytest.fixture
def record() -> Callable[..., LogRecord]:
    return make_record


@pytest.fixture
def batch() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "log.db"


@pytest.fixture
def open_sink(database: Path) -> Iterator[Callable[..., AuditSink]]:
    sinks = []

    def start(**settings: Any) -> AuditSink:
        sink = AuditSink(Settings(**{"database": database, "origin": ORIGIN, **settings}))
        sinks.append(sink)
        return sink

    yield start
    for sink in sinks:
        if not sink._closed.is_set():
            sink.shutdown()


@pytest.fixture
def run_host() -> Iterator[Callable[..., Host]]:
    """Start a host with the given listeners, and the audit exporter with the given settings."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    hosts: list[Host] = []

    def call(coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    def start(*listeners: dict[str, Any], **settings: Any) -> Host:
        audit = {"type": "audit", "origin": ORIGIN, **settings}
        config = {"listeners": listeners, "health": None, "exporters": {"audit": audit}}
        host = Host(HostConfig.model_validate(config))
        call(host.start())
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        call(host.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def key(database: Path) -> Callable[[], VerifierKey]:
    return lambda: load_verifier(database.with_name("verifier.key"))


@pytest.fixture
def log(open_sink: Callable[..., AuditSink], database: Path) -> Path:
    """A closed log: 40 records over several checkpoints, three quarantine entries."""
    sink = open_sink(checkpoint_records=7)
    for first in range(0, 40, 5):
        sink.export(make_batch(*(make_record(target_id=f"approval-{first + n}") for n in range(5))))
    sink.export(make_batch(make_record(actor_type="robot"), make_record(event_name=""), peer="collector"))
    sink.export(
        Batch("audit", None, b"\xff\xff", "protobuf", "collector", time.time_ns(), "cannot be parsed")
    )
    sink.shutdown()
    return database


def change(database, *statements, keep_triggers=False):
    connection = sqlite3.connect(database)
    if not keep_triggers:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
    if not keep_triggers:
        for _, sql in triggers:
            connection.execute(sql)
    connection.commit()
    connection.close()


def rows(database, sql):
    connection = sqlite3.connect(database)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def forge(log, actor):
    """Rewrite the last record with all hashes, and remove the checkpoints that cover it."""
    (leaf,) = rows(log, "SELECT leaf FROM audit_log ORDER BY leaf_index DESC LIMIT 1")[0]
    index = rows(log, "SELECT max(leaf_index) FROM audit_log")[0][0]
    forged = leaf.replace("alice@example.com", actor)
    start = forged.index('"record":') + 9
    digest = hashlib.sha256(forged[start : forged.rindex(',"resource":{"attributes"')].encode()).digest()
    update = (
        "UPDATE audit_log SET leaf = ?, leaf_hash = ?, actor_id = ?, integrity_hash = ? WHERE leaf_index = ?"
    )
    change(
        log,
        (update, (forged, leaf_hash(forged.encode()), actor, digest, index)),
        f"DELETE FROM checkpoints WHERE size > {index}",
    )
    nodes = Frontier().extend([row[0] for row in rows(log, LEAVES)])
    change(
        log,
        *(("UPDATE nodes SET hash = ? WHERE level = ? AND node_index = ?", (h, lv, i)) for lv, i, h in nodes),
    )
