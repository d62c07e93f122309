from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit.record import AuditRecord, to_log_record, to_pairs
from assay.exporters.audit import (
    AuditSink,
    PostgreSQL,
    Settings,
    VerifierKey,
    _postgresql_schema,
    load_verifier,
    migrate,
)
from assay.host import Batch, Host, HostConfig
from assay.proof.tree import Frontier, leaf_hash

ORIGIN = "audit.test/log"
LEAVES = """SELECT leaf_hash FROM (SELECT leaf_index, leaf_hash FROM audit_log
            UNION ALL SELECT leaf_index, leaf_hash FROM quarantine) AS entries ORDER BY leaf_index"""


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a log on the stores that its marker `stores` names; without one, on SQLite."""
    if "backend" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("stores")
        names = ("sqlite",) if marker is None else marker.args
        slow = {"postgresql": [pytest.mark.slow]}
        metafunc.parametrize("backend", [pytest.param(each, marks=slow.get(each, [])) for each in names])


class PostgreSQLLog(PostgreSQL):
    """A log of its own in PostgreSQL; as with a path, `with_name` returns the files beside it.

    Args:
        uri: Its address for the sink.
        password_file: The sink's password.
        parent: Folder of its keys and checkpoints.
        owner: Connection string of the owner of its tables.
    """

    def __init__(self, uri: str, password_file: Path, parent: Path, owner: str) -> None:
        super().__init__(uri, password_file)
        object.__setattr__(self, "parent", parent)
        object.__setattr__(self, "owner", owner)

    def with_name(self, name: str) -> Path:
        return self.parent / name


Log = Path | PostgreSQLLog


def another_place(database: PostgreSQLLog, folder: Path) -> PostgreSQLLog:
    """Return a log with the folder of another exporter host; the folder gets a copy of the log's key."""
    folder.mkdir(mode=0o700)
    for name in ("signing.key", "signing.key.checkpoint"):
        if database.with_name(name).exists():
            (folder / name).write_bytes(database.with_name(name).read_bytes())
            (folder / name).chmod(0o600)
    return PostgreSQLLog(database.uri, database.password_file, folder, database.owner)


def owners(database: Log) -> Path | PostgreSQL:
    """Return a log as the owner of its tables opens it."""
    if isinstance(database, Path):
        return database
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(database.owner)
    return PostgreSQL(f"postgresql://owner@:{parts['port']}/{parts['dbname']}?host={parts['host']}")


def settings_of(database: Log) -> dict[str, Any]:
    """Return the settings of a sink for a log."""
    if isinstance(database, Path):
        return {"database": str(database)}
    return {
        "database": database.uri,
        "password_file": str(database.password_file),
        "folder": str(database.parent),
    }


@pytest.fixture
def database(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Log:
    if backend == "sqlite":
        return tmp_path / "audit" / "log.db"
    return request.getfixturevalue("postgresql_log")


@pytest.fixture(scope="session")
def migrated(postgresql_server: Any) -> str:
    """The name of a database with an empty log; roles that may write it and read it."""
    import psycopg

    server = f"host={postgresql_server.folder} port={postgresql_server.port} user=owner"
    uri = f"postgresql://owner@:{postgresql_server.port}/migrated?host={postgresql_server.folder}"
    with closing(psycopg.connect(server, dbname="postgres", autocommit=True)) as owner:
        owner.execute("CREATE DATABASE migrated")
        migrate(PostgreSQL(uri))
        owner.execute("CREATE ROLE sink LOGIN PASSWORD 'sinks password' IN ROLE assay_audit_writer")
        owner.execute("CREATE ROLE auditor LOGIN PASSWORD 'auditors password' IN ROLE assay_audit_reader")
    return "migrated"


@pytest.fixture
def postgresql_log(postgresql_server: Any, migrated: str, tmp_path: Path) -> Iterator[PostgreSQLLog]:
    import psycopg

    name = f"log_{uuid.uuid4().hex}"
    server = f"host={postgresql_server.folder} port={postgresql_server.port} user=owner"
    password = tmp_path / "password"
    password.write_text("sinks password\n")
    password.chmod(0o600)
    uri = f"postgresql://sink@127.0.0.1:{postgresql_server.port}/{name}"
    with closing(psycopg.connect(server, dbname="postgres", autocommit=True)) as owner:
        owner.execute(f"CREATE DATABASE {name} TEMPLATE {migrated}")
    yield PostgreSQLLog(uri, password, tmp_path / "audit", f"{server} dbname={name}")
    with closing(psycopg.connect(server, dbname="postgres", autocommit=True)) as owner:
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def open_sink(database: Log) -> Iterator[Callable[..., AuditSink]]:
    sinks = []

    def start(**settings: Any) -> AuditSink:
        sink = AuditSink(Settings(**{**settings_of(database), "origin": ORIGIN, **settings}))
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
def key(database: Log) -> Callable[[], VerifierKey]:
    return lambda: load_verifier(database.with_name("verifier.key"))


@pytest.fixture
def log(open_sink: Callable[..., AuditSink], database: Log) -> Log:
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
    """Execute statements in a log, as whoever owns it can; the triggers are dropped before."""
    if isinstance(database, PostgreSQLLog):
        _change_postgresql(database, statements, keep_triggers=keep_triggers)
        return
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


@pytest.fixture
def copy_of(tmp_path):
    """Return a function that copies a log to another place, as a backup does."""

    def copy(database):
        if not isinstance(database, PostgreSQLLog):
            return shutil.copy(database, tmp_path / "backup.db")
        return _copy_postgresql(database)

    return copy


def _copy_postgresql(database):
    import psycopg

    name = database.uri.rpartition("/")[2]
    with closing(psycopg.connect(database.owner, dbname="postgres", autocommit=True)) as owner:
        owner.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    copied = (f"{database.uri}_copy", database.password_file, database.parent, f"{database.owner}_copy")
    return PostgreSQLLog(*copied)


def _change_postgresql(database, statements, *, keep_triggers):
    import psycopg

    triggers = [] if keep_triggers else _postgresql_schema.TABLES
    with psycopg.connect(database.owner) as connection:
        for table in triggers:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        for statement in statements:
            sql, values = statement if isinstance(statement, tuple) else (statement, None)
            sql = sql.replace("?", "%s").replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')")
            connection.execute(sql, values)
        for table in triggers:
            connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")


def rows(database, sql):
    if isinstance(database, PostgreSQLLog):
        import psycopg

        with psycopg.connect(database.owner) as connection:
            return connection.execute(sql).fetchall()
    connection = sqlite3.connect(database)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def other_value(value):
    """Return another value of the same type."""
    if isinstance(value, dt.datetime):
        return value + dt.timedelta(days=1)
    if isinstance(value, int):
        return value + 100_000
    return value + b"x" if isinstance(value, bytes) else f"{value or ''}x"


def table_of(database, table):
    """Return a table's name in the store; PostgreSQL has no table of recent ids."""
    return "ids" if isinstance(database, PostgreSQLLog) and table == "recent_ids" else table


def column_of(database, table, column):
    """Return a column's name in the store."""
    is_key = isinstance(database, PostgreSQLLog) and (table, column) == ("recent_ids", "id")
    return "key" if is_key else column


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
