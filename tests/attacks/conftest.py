"""The exporter host as a process of its own, under limits on its memory and its files."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

MEMORY = 1 << 30
FILES = 1024
_START_SECONDS = 60
_STOP_SECONDS = 60

_PROGRAM = """
import resource, sys
for name, at_most in (("RLIMIT_DATA", int(sys.argv[1])), ("RLIMIT_NOFILE", int(sys.argv[2]))):
    number = getattr(resource, name)
    resource.setrlimit(number, (at_most, at_most))
from assay.cli.main import main
sys.argv = ["assay", "serve", "--verbose", "--config", sys.argv[3]]
main()
"""


@dataclass
class HostProcess:
    """A running host: where it listens, and the files that it writes."""

    folder: Path
    addresses: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> bytes:
        return (self.folder / "host.log").read_bytes()

    @property
    def database(self) -> Path:
        return self.folder / "audit" / "log.db"

    def url(self, listener: str, path: str = "") -> str:
        return f"http://{self.addresses[listener]}{path}"

    def address(self, listener: str) -> tuple[str, int]:
        host, _, port = self.addresses[listener].rpartition(":")
        return host, int(port)

    def health(self) -> str:
        return requests.get(self.url("health", "/health/ready"), timeout=30).json()["status"]


@contextmanager
def _running(folder: Path, listeners: list[dict[str, Any]], **config: Any) -> Iterator[HostProcess]:
    memory, files = config.pop("memory", MEMORY), config.pop("files", FILES)
    document = {
        "listeners": [{"address": "127.0.0.1:0", **listener} for listener in listeners],
        "health": {"address": "127.0.0.1:0"},
        "exporters": {
            "audit": {
                "type": "audit",
                "database": str(folder / "audit" / "log.db"),
                "origin": "attacks.test/log",
            },
            "lines": {"type": "otlp-lines", "path": str(folder / "lines.jsonl")},
        },
        **config,
    }
    path = folder / "host.yaml"
    path.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-c", _PROGRAM, str(memory), str(files), str(path)]
    with (folder / "host.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield HostProcess(folder, _addresses(folder / "host.log", process, len(listeners) + 1), process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _addresses(log: Path, process: subprocess.Popen[bytes], count: int) -> dict[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = [line.split() for line in log.read_text().splitlines() if " listens on " in line]
        if len(found) == count:
            return {line[-4]: line[-1] for line in found}
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., HostProcess]]:
    """Start a host with the given listeners and configuration; `memory` and `files` limit the process."""
    with ExitStack() as stack:
        yield lambda *listeners, **config: stack.enter_context(_running(tmp_path, list(listeners), **config))
