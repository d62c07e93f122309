"""The services of one machine: a Collector, and behind it the exporter host.

Without a Collector, applications send to the exporter host directly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from assay.cli._addresses import HostAddresses
from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import Addresses, CollectorProcess
from assay.cli._errors import StackError
from assay.cli._folder import Folder
from assay.cli._free_ports import is_free
from assay.cli._loopback import answers
from assay.cli._tokens import Tokens, load_or_create_tokens
from assay.host.private_files import private_folder

HOST_START_SECONDS = 30
HOST_STOP_SECONDS = 30
_WATCH_SECONDS = 1.0
_OUTPUT_CHARACTERS = 2000  # of the exporter host, in an error


@dataclass(frozen=True)
class _Service:
    """A process of the stack: its name, its log, and a function that returns whether it runs."""

    name: str
    log: Path
    is_running: Callable[[], bool]


@dataclass
class Stack:
    """The services.

    Args:
        folder: Folder of their files.
        binary: The Collector; None runs the exporter host alone.
        collector: Where the Collector listens.
        host: Where the exporter host listens.
        collector_settings: Variables for the Collector's configuration files.
        collector_configs: Further configuration files, merged over those of the Collector.
        zero_seconds: Seconds for which Prometheus gets a new series as 0: at least its scrape interval.
    """

    folder: Folder
    binary: CollectorBinary | None
    collector: Addresses = field(default_factory=Addresses)
    host: HostAddresses = field(default_factory=HostAddresses)
    collector_settings: Mapping[str, str] = field(default_factory=dict[str, str])
    collector_configs: tuple[Path, ...] = ()
    zero_seconds: float = 60.0
    _services: list[_Service] = field(default_factory=list[_Service], init=False, repr=False)

    @cached_property
    def tokens(self) -> Tokens:
        """The folder's tokens, created at the first use.

        Raises:
            StackError: They cannot be read or written.
        """
        return load_or_create_tokens(self.folder.state)

    @contextlib.contextmanager
    def running(self) -> Generator[Stack]:
        """Start the services, and stop them when the block is left: first the Collector, then the host.

        Raises:
            StackError: A port is in use, a token cannot be read, or the host did not start.
            CollectorStartError: The Collector did not start.
        """
        self._require_free_ports()
        private_folder(self.folder.audit)
        private_folder(self.folder.state)
        self.folder.host_config.write_text(
            yaml.safe_dump(self._host_config(), sort_keys=False), encoding="utf-8"
        )
        with self._host_running():
            if self.binary is None:
                yield self
                return
            with CollectorProcess(
                self.binary.path,
                [*COMPOSITIONS["all-in-one"].paths, *self.collector_configs],
                addresses=self.collector,
                storage=self.folder.collector_queues,
                log=self.folder.collector_log,
                environment=self.collector_environment(),
            ) as collector:
                log = self.folder.collector_log
                self._services.append(_Service("Collector", log, lambda: collector.pid is not None))
                yield self

    def wait(self, stopped: threading.Event, each_second: Callable[[], object] = lambda: None) -> None:
        """Wait until `stopped` is set.

        Args:
            stopped: Ends the wait.
            each_second: Called once a second.

        Raises:
            StackError: A service exited by itself.
        """
        while not stopped.wait(_WATCH_SECONDS):
            for service in self._services:
                if not service.is_running():
                    raise StackError(f"the {service.name} exited by itself: see {service.log}")
            each_second()

    def application_environment(self) -> dict[str, str]:
        """Return the variables that an instrumented application needs to send here."""
        if self.binary is None:
            return {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.host.direct}",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{self.tokens.telemetry}",
                "ASSAY_AUDIT_ENDPOINT": f"http://{self.host.direct}/v1/audit",
                "ASSAY_AUDIT_TOKEN": self.tokens.audit,
            }
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.collector.otlp_http}",
            "ASSAY_AUDIT_ENDPOINT": self.collector.audit_url,
            "ASSAY_AUDIT_RECEIPTS_ENDPOINT": f"http://{self.host.direct}/v1/audit/receipts",
            "ASSAY_AUDIT_TOKEN": self.tokens.audit,
        }

    def collector_environment(self) -> dict[str, str]:
        """Return the variables for the Collector's configuration files."""
        return {
            "ASSAY_AUDIT_TOKEN": self.tokens.audit,
            "ASSAY_HOST_TOKEN": self.tokens.host,
            "ASSAY_HOST_AUDIT_TOKEN": self.tokens.host_audit,
            "ASSAY_HOST_GRPC_ENDPOINT": self.host.grpc,
            "ASSAY_HOST_HTTP_ENDPOINT": f"http://{self.host.http}",
            **self.collector_settings,
        }

    def _require_free_ports(self) -> None:
        """Check the ports first: another server on one of them would answer in place of our service."""
        wanted = {
            f"exporter host, {name}": at
            for name, at in dataclasses.asdict(self.host).items()
            if self.binary is not None or name not in {"grpc", "http"}
        }
        if self.binary is not None:
            wanted |= {f"Collector, {name}": at for name, at in dataclasses.asdict(self.collector).items()}
        taken = [f"{address} ({name})" for name, address in wanted.items() if not is_free(address)]
        if taken:
            raise StackError(
                f"ports are in use: {', '.join(taken)}. Stop the process that listens there (another "
                "`assay up`?), or run `assay up --free-ports`"
            )

    def _host_config(self) -> dict[str, object]:
        return {
            "listeners": self._listeners(),
            "health": {"address": self.host.health},
            "exporters": {
                "audit": {"type": "audit", "database": str(self.folder.database)},
                "cdevents": {
                    "type": "cdevents",
                    "outbox": str(self.folder.cdevents_outbox),
                    "sinks": [{"type": "file", "path": str(self.folder.cdevents)}],
                },
                "metrics": {
                    "type": "metrics",
                    "database": str(self.folder.series),
                    "address": self.host.metrics,
                    "zero_seconds": self.zero_seconds,
                },
                "traces": _lines_exporter("traces", self.folder.traces),
                "logs": _lines_exporter("logs", self.folder.logs),
            },
        }

    def _listeners(self) -> list[dict[str, object]]:
        """Return the host's listeners; each has its own tokens, for the signals that it is for."""
        direct = {
            "audit": _token("ASSAY_AUDIT_TOKEN", "audit"),
            "telemetry": _token("ASSAY_TELEMETRY_TOKEN", "traces", "metrics", "logs"),
        }
        listeners = [_listener("direct", "http", self.host.direct, peer="direct", tokens=direct)]
        if self.binary is not None:
            telemetry = {"collector": _token("ASSAY_HOST_TOKEN", "traces", "metrics", "logs")}
            audit = {"collector": _token("ASSAY_HOST_AUDIT_TOKEN", "audit")}
            listeners += [
                _listener("collector", "grpc", self.host.grpc, peer="collector", tokens=telemetry),
                _listener("collector-audit", "http", self.host.http, peer="collector", tokens=audit),
            ]
        return listeners

    @contextlib.contextmanager
    def _host_running(self) -> Generator[None]:
        command = [sys.executable, "-m", "assay.cli", "serve", "--config", str(self.folder.host_config)]
        with self.folder.host_log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **self._host_environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for_host(process)
            log_file = self.folder.host_log
            self._services.append(_Service("exporter host", log_file, lambda: process.poll() is None))
            yield
        finally:
            process.terminate()
            try:
                process.wait(HOST_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _host_environment(self) -> dict[str, str]:
        """Return the variables for the exporter host's configuration file."""
        return {
            "ASSAY_AUDIT_TOKEN": self.tokens.audit,
            "ASSAY_TELEMETRY_TOKEN": self.tokens.telemetry,
            "ASSAY_HOST_TOKEN": self.tokens.host,
            "ASSAY_HOST_AUDIT_TOKEN": self.tokens.host_audit,
        }

    def _wait_for_host(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + HOST_START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if answers(f"http://{self.host.health}/health/ready"):
                return
            time.sleep(0.1)
        output = self.folder.host_log.read_text(encoding="utf-8", errors="replace")
        raise StackError(f"the exporter host did not start:\n{output[-_OUTPUT_CHARACTERS:].strip()}")


def _listener(
    name: str, protocol: str, address: str, *, peer: str, tokens: Mapping[str, object]
) -> dict[str, object]:
    auth = {"bearer": dict(tokens)}
    return {"name": name, "protocol": protocol, "address": address, "peer": peer, "auth": auth}


def _token(variable: str, *signals: str) -> dict[str, object]:
    return {"token": f"${{env:{variable}}}", "signals": list(signals)}


def _lines_exporter(signal: str, path: Path) -> dict[str, object]:
    return {"type": "otlp-lines", "path": str(path), "signals": [signal]}
