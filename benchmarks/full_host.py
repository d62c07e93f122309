"""The exporter host with all exporters, as a process of its own under a memory limit."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import yaml

from assay.cli._free_ports import free_address

MEMORY = 1 << 30
TOKENS = {"app": "application", "auditor": "auditor"}
_START_SECONDS = 120

_PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
from assay.cli.main import main
sys.argv = ["assay", "serve", "--config", sys.argv[3]]
main()
"""


@dataclass(frozen=True)
class FullHost:
    """A running host: the number of its process, its addresses by listener, and its audit log."""

    pid: int
    addresses: dict[str, str]
    database: Path

    def memory(self) -> int:
        """Return the resident memory of the process, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def health_seconds(self) -> float:
        """Return the seconds that the health listener took to answer."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection(self.addresses["health"], timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/health/ready")
            assert json.loads(connection.getresponse().read())["status"] == "ok"
        return time.perf_counter() - start


@contextlib.contextmanager
def running(folder: Path, *, files: int, connections: int = 1024) -> Generator[FullHost]:
    """Start a host in a folder, with two listeners and a token for each signal's sender; stop it at the end.

    Args:
        folder: Its configuration, its log and its databases.
        files: How many files it may open.
        connections: Its setting `limits.connections`.
    """
    with contextlib.ExitStack() as reserved:
        names = ("http", "grpc", "metrics", "health")
        addresses = {name: free_address(reserved) for name in names}
    config = {
        "listeners": [
            {"name": name, "protocol": name, "address": addresses[name], "auth": {"bearer": TOKENS}}
            for name in ("http", "grpc")
        ],
        "health": {"address": addresses["health"]},
        "limits": {"connections": connections},
        "exporters": {
            "audit": {"type": "audit", "database": str(folder / "audit/log.db"), "origin": "soak.test/log"},
            "cdevents": {
                "type": "cdevents",
                "outbox": str(folder / "outbox.db"),
                "sinks": [{"type": "file", "path": str(folder / "events.jsonl")}],
            },
            "metrics": {
                "type": "metrics",
                "database": str(folder / "series.db"),
                "address": addresses["metrics"],
            },
            "discard": {"type": "benchmarks.host:Discard"},
        },
    }
    path = folder / "host.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-c", _PROGRAM, str(MEMORY), str(files), str(path)]
    with (folder / "host.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    host = FullHost(process.pid, addresses, folder / "audit/log.db")
    try:
        _wait_for(host)
        yield host
    finally:
        process.terminate()
        process.wait()


def _wait_for(host: FullHost) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_up(host):
        assert time.monotonic() < deadline, "the host did not start: see its log"
        time.sleep(0.1)


def _is_up(host: FullHost) -> bool:
    try:
        host.health_seconds()
    except OSError:
        return False
    return True
