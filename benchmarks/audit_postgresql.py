"""Measure audit ingest to PostgreSQL against `COPY`, and two exporter hosts against one.

The server runs on the same machine, with `fsync` and `synchronous_commit` on. A record is compared with
`COPY` of its rows into the same tables, and of its row of `audit_log` into a table without indexes, in
processor time of the client and its server process, because the time that a disk takes for a commit varies
more than the rest together.

Two writers share the processors with the server. So each batch is small, and each commit takes at least
`COMMIT_MICROSECONDS`, as on a network disk or with a synchronous replica: the ratio shows whether writers
wait for one another's commits. With large batches the processors decide; that ratio is reported.
"""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from psycopg import sql

from assay.exporters.audit import AuditSink, PostgreSQL, Settings, load_verifier, migrate, verify
from assay.exporters.audit._postgresql import connect
from assay.host import Batch
from benchmarks.ingest import BATCH, BOUND, new_payload
from benchmarks.processes import processor_seconds
from benchmarks.row import Row
from conftest import PostgreSQLServer, run_postgresql

if TYPE_CHECKING:
    from typing_extensions import LiteralString

RECORDS = 40_960
COMMIT_MICROSECONDS = 10_000
SMALL, SMALL_BATCHES = 20, 200
TABLES = ("audit_log", "ids", "nodes")
SAME = "CREATE TABLE copies.{0} (LIKE public.{0} INCLUDING INDEXES)"
BARE = "CREATE TABLE copies.{0} (LIKE public.{0})"
WRITERS_BOUND = 1.7
_SECONDS = 600  # after which a writer is given up


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs, each on new databases.

    Returns:
        Throughput of the sink ÷ throughput of `COPY`; throughput of two writers ÷ throughput of one.
    """
    with run_postgresql() as server:
        logs = _Logs(server)
        copied = _copy_rows([_copy(logs) for _ in range(rounds)])
        large = [_writers_pair(logs, BATCH, RECORDS // BATCH + 1) for _ in range(rounds)]
    with run_postgresql(f"commit_delay={COMMIT_MICROSECONDS}", "commit_siblings=0") as server:
        logs = _Logs(server)
        small = [_writers_pair(logs, SMALL, SMALL_BATCHES) for _ in range(rounds)]
    return [*copied, _writers_row(small, SMALL, WRITERS_BOUND), _writers_row(large, BATCH, None)]


@dataclass(frozen=True, slots=True)
class _Cost:
    """What the records of one side took, in seconds."""

    clock: float
    client: float
    server: float

    @property
    def processor(self) -> float:
        return self.client + self.server

    def __str__(self) -> str:
        each = (1e6 * seconds / RECORDS for seconds in (self.client, self.server, self.clock))
        return "client {:.1f} µs, server {:.1f} µs, by the clock {:.1f} µs".format(*each)


class _Logs:
    """Empty logs on a server, each in a database of its own."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self._socket = f"@:{server.port}/{{}}?host={server.folder}"
        self._numbers = itertools.count()
        with self.owner("postgres") as owner:
            owner.execute("CREATE DATABASE migrated")
            migrate(self._address("owner", "migrated"))
            owner.execute("CREATE ROLE sink LOGIN IN ROLE assay_audit_writer")

    @contextmanager
    def owner(self, database: str) -> Generator[psycopg.Connection[Any]]:
        """Connect to a database as its owner."""
        with closing(connect(self._address("owner", database))) as connection:
            yield connection

    @contextmanager
    def new(self) -> Generator[str]:
        """Create a log, and drop it at the end; yield the name of its database."""
        name = f"log_{next(self._numbers)}"
        with self.owner("postgres") as owner:
            owner.execute(f"CREATE DATABASE {name} TEMPLATE migrated".encode())
            yield name
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def settings(self, database: str, folder: Path) -> Settings:
        """Return the settings of a sink for a log."""
        return Settings(database=self._address("sink", database), folder=folder, origin="benchmark.test/log")

    def _address(self, user: str, database: str) -> PostgreSQL:
        return PostgreSQL(f"postgresql://{user}{self._socket.format(database)}")


def _copy_rows(measured: list[tuple[_Cost, _Cost, _Cost]]) -> list[Row]:
    sinks, tables, bare = (list(column) for column in zip(*measured, strict=True))
    name = "audit ingest to PostgreSQL"
    return [
        _copy_row(f"{name} beside COPY into the same tables", sinks, tables, BOUND),
        _copy_row(f"{name} beside COPY into a table without indexes", sinks, bare, None),
    ]


def _copy_row(name: str, sinks: list[_Cost], floors: list[_Cost], bound: float | None) -> Row:
    pairs = list(zip(sinks, floors, strict=True))
    ratio = statistics.median(floor.processor / sink.processor for sink, floor in pairs)
    by_clock = statistics.median(floor.clock / sink.clock for sink, floor in pairs)
    sink, floor = (
        sorted(column, key=lambda cost: cost.processor)[len(pairs) // 2] for column in (sinks, floors)
    )
    note = f"COPY: {floor}; ingest: {sink}; batches of {BATCH}; ratio by the clock {by_clock:.2f}"
    return Row(name, ratio, bound, "at least", len(pairs), note)


def _copy(logs: _Logs) -> tuple[_Cost, _Cost, _Cost]:
    """Return what the sink took for some records, and `COPY` for the same, with and without indexes."""
    payloads = [new_payload() for _ in range(RECORDS // BATCH)]
    with tempfile.TemporaryDirectory() as folder, logs.new() as database:
        settings = logs.settings(database, Path(folder, "log"))
        sink = AuditSink(settings)
        ingest = _cost(_backend(logs, database), lambda: [_export(sink, each) for each in payloads])
        sink.shutdown()
        found = verify(settings.database, load_verifier(Path(folder, "log", "verifier.key")))
        assert (found.records, found.quarantined, found.covered) == (RECORDS, 0, RECORDS)
        with logs.owner(database) as owner:
            return ingest, _floor(owner, TABLES, SAME), _floor(owner, TABLES[:1], BARE)


def _export(sink: AuditSink, payload: bytes) -> None:
    request = ExportLogsServiceRequest.FromString(payload)
    sink.export(Batch("audit", request, payload, "protobuf", "collector", time.time_ns()))


def _backend(logs: _Logs, database: str) -> int:
    """Return the server process of the sink."""
    sessions = "SELECT pid FROM pg_stat_activity WHERE usename = 'sink' AND datname = $1"
    with logs.owner(database) as owner:
        ((pid,),) = owner.execute(sessions, (database,)).fetchall()
    return pid


def _floor(owner: psycopg.Connection[Any], tables: Sequence[str], create: LiteralString) -> _Cost:
    """Return what `COPY` takes to fill copies of tables, a batch in a transaction.

    Args:
        owner: Connection to the log's database.
        tables: The tables.
        create: Statement that creates an empty copy of one in the schema `copies`.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {}
    owner.execute("CREATE SCHEMA copies")
    for table in tables:
        rows[table] = owner.execute(_named("SELECT * FROM {} ORDER BY ctid", table)).fetchall()
        owner.execute(_named(create, table))
    batches = RECORDS // BATCH

    def copy() -> None:
        for number in range(batches):
            with owner.transaction():
                for table, content in rows.items():
                    size = -(-len(content) // batches)
                    _copy_into(owner, table, content[number * size : (number + 1) * size])

    cost = _cost(owner.info.backend_pid, copy)
    owner.execute("DROP SCHEMA copies CASCADE")
    return cost


def _copy_into(owner: psycopg.Connection[Any], table: str, rows: list[tuple[Any, ...]]) -> None:
    with owner.cursor() as cursor, cursor.copy(_named("COPY copies.{} FROM STDIN", table)) as stream:
        for row in rows:
            stream.write_row(row)


def _named(statement: LiteralString, table: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(table))


def _cost(server: int, work: Callable[[], object]) -> _Cost:
    """Return what a client's work took, here and in a process of the server."""
    before, clock, client = processor_seconds(server), time.perf_counter(), time.process_time()
    work()
    clock, client = time.perf_counter() - clock, time.process_time() - client
    return _Cost(clock, client, processor_seconds(server) - before)


def _writers_row(pairs: list[tuple[float, float]], size: int, bound: float | None) -> Row:
    ratio = statistics.median(one / two for one, two in pairs)
    one, two = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    slow = "" if bound is None else f"; a commit takes at least {COMMIT_MICROSECONDS / 1e3:.0f} ms"
    note = f"one writer: {one:.1f} ms a batch of {size}; two: {two:.1f} ms{slow}"
    return Row(f"two writers to PostgreSQL, batches of {size}", ratio, bound, "at least", len(pairs), note)


def _writers_pair(logs: _Logs, size: int, batches: int) -> tuple[float, float]:
    """Return the seconds a batch of one writer and of two, for the same number of batches."""
    one, two = (_seconds(logs, writers, size, batches // writers) for writers in (1, 2))
    return one / batches, two / batches


def _seconds(logs: _Logs, writers: int, size: int, batches: int) -> float:
    """Return the seconds that the writers took for all batches, without their start and stop."""
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(writers + 1)
    with tempfile.TemporaryDirectory() as folder, logs.new() as database, ExitStack() as stack:
        all_settings = [logs.settings(database, Path(folder, str(number))) for number in range(writers)]
        _create_keys(all_settings)
        for settings in all_settings:
            process = spawn.Process(target=_write, args=(settings, size, batches, together))
            process.start()
            stack.callback(process.join)
        together.wait(_SECONDS)
        start = time.perf_counter()
        together.wait(_SECONDS)
        return time.perf_counter() - start


def _create_keys(all_settings: list[Settings]) -> None:
    """Start the first sink once, which creates the key, and give each of the others a copy."""
    AuditSink(all_settings[0]).shutdown()
    for settings in all_settings[1:]:
        assert settings.folder is not None
        settings.folder.mkdir(mode=0o700)
        for name in ("signing.key", "signing.key.checkpoint"):
            assert all_settings[0].folder is not None
            shutil.copy(all_settings[0].folder / name, settings.folder / name)


def _write(settings: Settings, size: int, batches: int, together: Any) -> None:  # noqa: ANN401  a proxy
    payloads = [new_payload(size) for _ in range(batches)]
    sink = AuditSink(settings)
    together.wait(_SECONDS)
    for each in payloads:
        _export(sink, each)
    together.wait(_SECONDS)
    sink.shutdown()
