"""Run a Collector as a child process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from assay.cli._collector.errors import CollectorStartError
from assay.cli._free_ports import free_addresses
from assay.cli._loopback import answers

_POLL_SECONDS = 0.1
_LINES_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Where a Collector listens, as `host:port`; the defaults are those of the configuration files."""

    otlp_grpc: str = "127.0.0.1:4317"
    otlp_http: str = "127.0.0.1:4318"
    audit: str = "127.0.0.1:4319"
    health: str = "127.0.0.1:13133"
    telemetry: str = "127.0.0.1:8888"

    @classmethod
    def free(cls, reserved: contextlib.ExitStack | None = None) -> Addresses:
        """Return loopback addresses with ports that are free now.

        Args:
            reserved: The ports stay reserved until it is closed; by default they are released at once.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**free_addresses(names, reserved))

    @property
    def audit_url(self) -> str:
        """URL for audit records, without TLS."""
        return f"http://{self.audit}/v1/audit"

    @property
    def telemetry_url(self) -> str:
        """URL at which Prometheus scrapes the Collector's own metrics."""
        return f"http://{self.telemetry}/metrics"

    def environment(self) -> dict[str, str]:
        """Return the variables with which the configuration files set these addresses."""
        host, port = self.telemetry.rsplit(":", 1)
        return {
            "ASSAY_COLLECTOR_OTLP_GRPC_ADDRESS": self.otlp_grpc,
            "ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS": self.otlp_http,
            "ASSAY_COLLECTOR_AUDIT_ADDRESS": self.audit,
            "ASSAY_COLLECTOR_HEALTH_ADDRESS": self.health,
            "ASSAY_COLLECTOR_TELEMETRY_HOST": host,
            "ASSAY_COLLECTOR_TELEMETRY_PORT": port,
        }


class CollectorProcess:
    """A Collector as a child process, in a session of its own, so that Ctrl-C for its parent does not end it.

    As a context manager it starts and stops the Collector. It can be started again after `stop` or `kill`;
    the Collector then delivers the content of its queues.

    Args:
        binary: The Collector.
        configs: The configuration files, in the order in which they are merged.
        addresses: Where it listens.
        storage: Folder of its queues; created when it is missing, and kept.
        log: File to which its log is appended, one JSON object a line.
        environment: Variables for the configuration files; they override those of this process.
    """

    def __init__(  # noqa: PLR0913  independent settings
        self,
        binary: Path,
        configs: Sequence[Path],
        *,
        addresses: Addresses,
        storage: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.addresses = addresses
        self.log = log
        self._command = [str(binary), *(f"--config={config}" for config in configs)]
        self._environment = {
            **os.environ,
            **addresses.environment(),
            "ASSAY_COLLECTOR_STORAGE": str(storage.absolute()),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CollectorProcess:  # noqa: PYI034  typing has Self from 3.11
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id while the Collector runs, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, timeout: float = 60) -> None:
        """Start the Collector and wait until it is healthy.

        Args:
            timeout: Seconds to wait.

        Raises:
            CollectorStartError: It exited, or did not become healthy in time and was killed.
        """
        if self.pid is not None:
            raise CollectorStartError(f"this Collector is already running as process {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        logged = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while True:
            # Before the health check: if this Collector has exited, another process answers on its port.
            if self._process.poll() is not None:
                raise CollectorStartError(
                    f"the Collector exited with status {self._process.returncode}:\n{self._errors(logged)}"
                )
            if answers(f"http://{self.addresses.health}/"):
                return
            if time.monotonic() > deadline:
                self.kill()
                raise CollectorStartError(
                    f"the Collector did not become healthy at http://{self.addresses.health} within"
                    f" {timeout:g} s:\n{self._errors(logged)}"
                )
            time.sleep(_POLL_SECONDS)

    def stop(self, timeout: float = 30) -> int | None:
        """Terminate the Collector; it sends the data in memory or writes it to its queues.

        Args:
            timeout: Seconds after which it is killed.

        Returns:
            Its exit status (0 after a clean stop), None if it was never started.
        """
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """Kill the Collector with SIGKILL, as a crash would end it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _errors(self, offset: int) -> str:
        """Return the last errors that were logged since `offset`, else the last lines."""
        with self.log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
        errors = [line for line in lines if _is_error(line)]
        shown = (errors or lines)[-_LINES_SHOWN:]
        return "\n".join(f"  {line}" for line in shown) or f"  no output (see {self.log})"


def _is_error(line: str) -> bool:
    """Return whether a log line is an error: a JSON line of that level, or the plain line at the end."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.startswith(("Error:", "panic:"))
    return isinstance(entry, dict) and '"level":"error"' in line.replace(" ", "")
