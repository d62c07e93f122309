"""Measure the whole way of audit records beside a Collector that writes the same records to a file.

Ours is the stack of `assay up`: the Collector with its queue on disk, the exporter host, and the log in
SQLite, signed and flushed to disk. The other Collector has no queue and does not flush. Both receive the same
requests over HTTP, one after the other. Needs Go, which builds the other Collector.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import yaml

from assay.cli._addresses import HostAddresses
from assay.cli._collector.files import distribution_directory
from assay.cli._collector.process import Addresses, CollectorProcess
from assay.cli._collector.sources import find_collector
from assay.cli._folder import Folder
from assay.cli._stack import Stack
from benchmarks.ingest import new_payload
from benchmarks.processes import children, processor_seconds
from benchmarks.row import Row

RECORDS = 512
REQUESTS = 100
MANIFEST = Path(__file__).with_name("file_collector.yaml")
_PATIENCE = 120


@dataclass(frozen=True)
class Way:
    """Running processes that take records, and what they have written.

    Args:
        address: Where they listen.
        path: Path of the requests.
        token: The sender's, empty without one.
        pids: The processes.
        written: Returns the number of records that are stored.
    """

    address: str
    path: str
    token: str
    pids: frozenset[int]
    written: Callable[[], int]

    def seconds(self, payloads: list[bytes]) -> tuple[float, float]:
        """Return the processor time, and the time, until the records of all requests are stored."""
        wanted = self.written() + len(payloads) * RECORDS
        spent, start = self._spent(), time.perf_counter()
        with closing(http.client.HTTPConnection(self.address)) as connection:
            for payload in payloads:
                self._send(connection, payload)
        deadline = start + _PATIENCE
        while self.written() < wanted:
            assert time.perf_counter() < deadline, f"{self.written()} of {wanted} records are stored"
            time.sleep(0.02)
        return self._spent() - spent, time.perf_counter() - start

    def _spent(self) -> float:
        return sum(map(processor_seconds, self.pids))

    def _send(self, connection: http.client.HTTPConnection, payload: bytes) -> None:
        headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {self.token}"}
        connection.request("POST", self.path, payload, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == http.HTTPStatus.OK, response.status


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of our way and the other Collector.

    Returns:
        Ours ÷ the other: processor time, and time until everything is stored; nothing without Go.
    """
    go = shutil.which("go")
    if go is None:
        print("skipping audit_path: Go is not installed", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _ours(folder / "ours") as ours, _other(_build(go, folder / "built"), folder / "other") as other:
            for way in (ours, other):
                way.seconds([new_payload(RECORDS)])  # warms up
            pairs = [_pair(ours, other) for _ in range(rounds)]
    return [_row(name, column, pairs) for column, name in enumerate(("processor time", "until stored"))]


def _pair(ours: Way, other: Way) -> tuple[tuple[float, float], tuple[float, float]]:
    payloads = [new_payload(RECORDS) for _ in range(REQUESTS)]
    return ours.seconds(payloads), other.seconds(payloads)


def _row(name: str, column: int, pairs: list[tuple[tuple[float, float], tuple[float, float]]]) -> Row:
    ratio = statistics.median(ours[column] / other[column] for ours, other in pairs)
    ours, other = (
        statistics.median(pair[way][column] for pair in pairs) / REQUESTS / RECORDS * 1e6 for way in (0, 1)
    )
    note = f"Collector to a file: {other:.1f} µs a record; {ours:.1f} µs to the log, requests of {RECORDS}"
    return Row(f"audit by way of the Collector, {name}", ratio, None, "at most", len(pairs), note)


@contextlib.contextmanager
def _ours(root: Path) -> Generator[Way]:
    root.mkdir()
    folder, collector = Folder(root), Addresses.free()
    before = children()
    stack = Stack(folder, find_collector("require"), collector, HostAddresses.free())
    with stack.running():

        def stored() -> int:
            with closing(sqlite3.connect(folder.database)) as log:
                return log.execute("SELECT count(*) FROM audit_log").fetchone()[0]

        pids = frozenset(children() - before)
        yield Way(collector.audit, "/v1/audit", stack.tokens.audit, pids, stored)


@contextlib.contextmanager
def _other(binary: Path, root: Path) -> Generator[Way]:
    root.mkdir()
    at, path, target = Addresses.free(), root / "collector.yaml", root / "records.json"
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": at.otlp_http}}}},
        "exporters": {"file": {"path": str(target)}},
        "extensions": {"health_check": {"endpoint": at.health}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }
    path.write_text(yaml.safe_dump(config))
    log = root / "collector.log"
    with CollectorProcess(binary, [path], addresses=at, storage=root, log=log) as collector:
        assert collector.pid is not None
        pids = frozenset({collector.pid})
        yield Way(at.otlp_http, "/v1/logs", "", pids, lambda: _count(target))


def _count(target: Path) -> int:
    """Return the number of records in the file, in which each request is a line."""
    return target.read_bytes().count(b"\n") * RECORDS if target.exists() else 0


def _build(go: str, folder: Path) -> Path:
    """Build the other Collector, with the module versions of Assay's own."""
    folder.mkdir()
    version = yaml.safe_load(MANIFEST.read_text())["dist"]["version"]
    builder = f"go.opentelemetry.io/collector/cmd/builder@v{version}"
    exporter = "github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter"
    sources, binary = folder / "out", folder / "otelcol-file"

    def step(*command: str, at: Path = folder, **variables: str) -> None:
        environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", **variables}
        subprocess.run(command, cwd=at, env=environment, check=True)

    step(go, "install", builder, GOBIN=str(folder))
    step(
        str(folder / "builder"),
        f"--config={MANIFEST.absolute()}",
        *("--skip-compilation", "--skip-get-modules"),
    )
    for file in ("go.mod", "go.sum"):
        shutil.copy(distribution_directory() / file, sources / file)
    step(go, "get", f"{exporter}@v{version}", at=sources)
    step(go, "build", "-mod=mod", f"-o={binary}", ".", at=sources, CGO_ENABLED="0")
    return binary
