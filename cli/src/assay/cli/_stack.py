"""The services of one machine: a Collector, and the exporter host behind it, in one folder.

`assay up` keeps them; `assay demo` puts an application before them and looks at what arrived. Without a
Collector the application speaks to the host itself: everything but the Collector's own part still works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import Addresses, CollectorProcess, free_address

HOST_START_SECONDS = 30
HOST_STOP_SECONDS = 30
HTTP_OK = 200
_WATCH_SECONDS = 1.0


class StackError(Exception):
    """A service could not be started, or has ended by itself; the message says which, and why."""


@dataclass(frozen=True)
class HostAddresses:
    """Where the exporter host listens; the defaults are those of the Collector's configuration files.

    Args:
        grpc: From the Collector: traces, metrics and logs.
        http: From the Collector: audit records.
        direct: From applications, where there is no Collector, and for receipts.
        health: `/health` and its neighbours.
    """

    grpc: str = "127.0.0.1:4327"
    http: str = "127.0.0.1:4328"
    direct: str = "127.0.0.1:4329"
    health: str = "127.0.0.1:13134"

    @classmethod
    def free(cls) -> HostAddresses:
        """Return loopback addresses with ports that are free now."""
        with contextlib.ExitStack() as held:
            return cls(*(free_address(held) for _ in range(4)))


@dataclass(frozen=True)
class Folder:
    """Where everything is kept, and what each file is called."""

    root: Path

    @property
    def audit(self) -> Path:
        """The audit log, its checkpoint and its keys."""
        return self.root / "audit"

    @property
    def database(self) -> Path:
        """The audit log itself."""
        return self.audit / "log.db"

    @property
    def verifier_key(self) -> Path:
        """The C2SP verifier key, one line."""
        return self.audit / "verifier.key"

    @property
    def checkpoint(self) -> Path:
        """The newest signed note."""
        return self.audit / "checkpoint"

    @property
    def proof(self) -> Path:
        """The proof of one record."""
        return self.audit / "proof.json"

    @property
    def cdevents(self) -> Path:
        """Structured CloudEvents, one a line."""
        return self.root / "cdevents.jsonl"

    @property
    def outbox(self) -> Path:
        """What the CDEvents exporter has accepted."""
        return self.root / "state" / "cdevents.db"

    @property
    def traces(self) -> Path:
        """Spans as OTLP JSON lines."""
        return self.root / "traces.jsonl"

    @property
    def logs(self) -> Path:
        """Log events as OTLP JSON lines."""
        return self.root / "logs.jsonl"

    @property
    def queue(self) -> Path:
        """The Collector's persistent queues."""
        return self.root / "state" / "collector"

    @property
    def collector_log(self) -> Path:
        """What the Collector says."""
        return self.root / "collector.log"

    @property
    def host_log(self) -> Path:
        """What the exporter host says."""
        return self.root / "host.log"

    @property
    def host_config(self) -> Path:
        """The exporter host's configuration."""
        return self.root / "host.yaml"


@dataclass
class Stack:
    """The running services.

    Args:
        folder: Where they keep their files.
        binary: The Collector; None runs without one.
        collector: Where the Collector listens.
        host: Where the exporter host listens.
        collector_settings: Variables for the Collector's configuration files.
    """

    folder: Folder
    binary: CollectorBinary | None
    collector: Addresses = field(default_factory=Addresses)
    host: HostAddresses = field(default_factory=HostAddresses)
    collector_settings: Mapping[str, str] = field(default_factory=dict[str, str])
    audit_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    host_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    _services: dict[str, tuple[Callable[[], bool], Path]] = field(
        default_factory=dict[str, tuple[Callable[[], bool], Path]], init=False, repr=False
    )

    @contextlib.contextmanager
    def running(self) -> Generator[Stack]:
        """Start everything, and stop it when the block is left: the Collector first, since it feeds the host.

        Raises:
            StackError: A port is in use, or the host did not start; the message holds what it said.
            CollectorStartError: The Collector did not.
        """
        self._require_free_ports()
        self.folder.audit.mkdir(parents=True, exist_ok=True)
        self.folder.outbox.parent.mkdir(parents=True, exist_ok=True)
        self.folder.host_config.write_text(
            yaml.safe_dump(self._host_config(), sort_keys=False), encoding="utf-8"
        )
        with self._host_running():
            if self.binary is None:
                yield self
                return
            with CollectorProcess(
                self.binary.path,
                COMPOSITIONS["all-in-one"].paths,
                addresses=self.collector,
                storage=self.folder.queue,
                log=self.folder.collector_log,
                environment=self.collector_environment(),
            ) as collector:
                self._services["Collector"] = (lambda: collector.pid is not None, self.folder.collector_log)
                yield self

    def wait(self, stopped: threading.Event) -> None:
        """Return when `stopped` is set.

        Raises:
            StackError: A service ended by itself.
        """
        while not stopped.wait(_WATCH_SECONDS):
            for name, (is_alive, log) in self._services.items():
                if not is_alive():
                    raise StackError(f"the {name} has ended by itself: see {log}")

    def application_environment(self) -> dict[str, str]:
        """Return the variables by which an instrumented application finds its way here."""
        if self.binary is None:
            return {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.host.direct}",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{self.host_token}",
                "ASSAY_AUDIT_ENDPOINT": f"http://{self.host.direct}/v1/audit",
                "ASSAY_AUDIT_TOKEN": self.host_token,
            }
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.collector.otlp_http}",
            "ASSAY_AUDIT_ENDPOINT": self.collector.audit_url,
            "ASSAY_AUDIT_TOKEN": self.audit_token,
        }

    def collector_environment(self) -> dict[str, str]:
        """Return the variables that the Collector's configuration files take."""
        return {
            "ASSAY_AUDIT_TOKEN": self.audit_token,
            "ASSAY_HOST_TOKEN": self.host_token,
            "ASSAY_HOST_GRPC_ENDPOINT": self.host.grpc,
            "ASSAY_HOST_HTTP_ENDPOINT": f"http://{self.host.http}",
            **self.collector_settings,
        }

    def _require_free_ports(self) -> None:
        """Who listens there already would answer for a service of ours that cannot start."""
        wanted = {f"exporter host, {name}": at for name, at in dataclasses.asdict(self.host).items()}
        if self.binary is not None:
            wanted |= {f"Collector, {name}": at for name, at in dataclasses.asdict(self.collector).items()}
        taken = [f"{address} ({name})" for name, address in wanted.items() if not _is_free(address)]
        if taken:
            raise StackError(
                f"in use already: {', '.join(taken)}. Stop what listens there (another `assay up`?), "
                "or let `assay up --free-ports` choose others"
            )

    def _host_config(self) -> dict[str, object]:
        auth = {"bearer": "${env:ASSAY_HOST_TOKEN}"}
        return {
            "listeners": [
                {
                    "name": "collector",
                    "protocol": "grpc",
                    "address": self.host.grpc,
                    "peer": "collector",
                    "auth": auth,
                },
                {
                    "name": "collector-audit",
                    "protocol": "http",
                    "address": self.host.http,
                    "peer": "collector",
                    "auth": auth,
                },
                {
                    "name": "direct",
                    "protocol": "http",
                    "address": self.host.direct,
                    "peer": "direct",
                    "auth": auth,
                },
            ],
            "health": {"address": self.host.health},
            "exporters": {
                "audit": {"type": "audit", "database": str(self.folder.database)},
                "cdevents": {
                    "type": "cdevents",
                    "outbox": str(self.folder.outbox),
                    "sinks": [{"type": "file", "path": str(self.folder.cdevents)}],
                },
                "traces": {"type": "otlp-lines", "path": str(self.folder.traces)},
                "logs": {"type": "otlp-lines", "path": str(self.folder.logs)},
            },
        }

    @contextlib.contextmanager
    def _host_running(self) -> Generator[None]:
        command = [sys.executable, "-m", "assay.cli", "serve", "--config", str(self.folder.host_config)]
        with self.folder.host_log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, "ASSAY_HOST_TOKEN": self.host_token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for_host(process)
            self._services["exporter host"] = (lambda: process.poll() is None, self.folder.host_log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(HOST_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_for_host(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + HOST_START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if answers(f"http://{self.host.health}/health/ready"):
                return
            time.sleep(0.1)
        said = self.folder.host_log.read_text(encoding="utf-8", errors="replace")
        raise StackError(f"the exporter host did not start:\n{said[-2000:].strip()}")


def _is_free(address: str) -> bool:
    """Return whether this process could listen there now."""
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        # As servers do: connections of an earlier one that linger do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
        return True


def answers(url: str) -> bool:
    """Return whether a loopback address answers 200, past any proxy that the environment names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as answer:
            return answer.status == HTTP_OK
    except (OSError, urllib.error.URLError):
        return False
