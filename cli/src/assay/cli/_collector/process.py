"""A Collector that runs: started, healthy, stopped or killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from assay.cli._collector.errors import CollectorStartError

_POLL_SECONDS = 0.1
_LINES_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Where a Collector listens, each as `host:port`; the defaults are those of the configuration files."""

    otlp_grpc: str = "127.0.0.1:4317"
    otlp_http: str = "127.0.0.1:4318"
    audit: str = "127.0.0.1:4319"
    prometheus: str = "127.0.0.1:8889"
    health: str = "127.0.0.1:13133"
    telemetry: str = "127.0.0.1:8888"

    @classmethod
    def free(cls) -> Addresses:
        """Loopback addresses with ports that are free now."""
        with contextlib.ExitStack() as held:
            # All are held until all are chosen, so that none is chosen twice.
            return cls(**{field.name: free_address(held) for field in dataclasses.fields(cls)})

    @property
    def audit_url(self) -> str:
        """Where audit records are posted, without TLS."""
        return f"http://{self.audit}/v1/audit"

    @property
    def prometheus_url(self) -> str:
        """Where Prometheus scrapes the registry's series."""
        return f"http://{self.prometheus}/metrics"

    @property
    def telemetry_url(self) -> str:
        """Where Prometheus scrapes the Collector's own telemetry."""
        return f"http://{self.telemetry}/metrics"

    def environment(self) -> dict[str, str]:
        """The variables by which the configuration files take these addresses."""
        host, port = self.telemetry.rsplit(":", 1)
        return {
            "ASSAY_COLLECTOR_OTLP_GRPC_ADDRESS": self.otlp_grpc,
            "ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS": self.otlp_http,
            "ASSAY_COLLECTOR_AUDIT_ADDRESS": self.audit,
            "ASSAY_COLLECTOR_PROMETHEUS_ADDRESS": self.prometheus,
            "ASSAY_COLLECTOR_HEALTH_ADDRESS": self.health,
            "ASSAY_COLLECTOR_TELEMETRY_HOST": host,
            "ASSAY_COLLECTOR_TELEMETRY_PORT": port,
        }


class CollectorProcess:
    """One Collector as a child process, in a session of its own: a Ctrl-C for its parent does not end it.

    A context manager that starts it and stops it. May be started again after `stop` or `kill`; what its queue
    holds is then delivered.

    Args:
        binary: The Collector.
        configs: The configuration files, in the order in which they are merged.
        addresses: Where it listens.
        storage: The folder of its queues; made if absent, kept afterwards.
        log: The file its log is appended to, a JSON object a line.
        environment: Further variables for the configuration files, over those of this process.
    """

    def __init__(  # noqa: PLR0913  each is a fact of its own that the caller decides
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
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, timeout: float = 60) -> None:
        """Starts it and waits until it answers that it is healthy.

        Args:
            timeout: Seconds to wait.

        Raises:
            CollectorStartError: It ended, or was not healthy in time; it does not run then.
        """
        if self.pid is not None:
            raise CollectorStartError(f"this Collector runs already, as process {self.pid}")
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
            # First: what answers on the port of one that has ended is another.
            if self._process.poll() is not None:
                raise CollectorStartError(
                    f"the Collector ended with status {self._process.returncode}:\n{self._said(logged)}"
                )
            if self._healthy():
                return
            if time.monotonic() > deadline:
                self.kill()
                raise CollectorStartError(
                    f"the Collector did not answer at http://{self.addresses.health} within {timeout:g} s:\n"
                    f"{self._said(logged)}"
                )
            time.sleep(_POLL_SECONDS)

    def stop(self, timeout: float = 30) -> int | None:
        """Ends it gracefully: what is in memory is sent on or goes to its queue.

        Args:
            timeout: Seconds after which it is killed.

        Returns:
            Its exit status (0 when it ended well), None when it was never started.
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
        """Ends it with SIGKILL, as a crash would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _healthy(self) -> bool:
        try:
            # Loopback, and no proxy that the environment may name.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{self.addresses.health}/", timeout=1) as answer:
                return answer.status == 200  # noqa: PLR2004  HTTP's OK
        except (OSError, urllib.error.URLError):
            return False

    def _said(self, offset: int) -> str:
        """The errors among what it logged since `offset`, else its last lines."""
        with self.log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
        errors = [line for line in lines if _is_error(line)]
        shown = (errors or lines)[-_LINES_SHOWN:]
        return "\n".join(f"  {line}" for line in shown) or f"  nothing (see {self.log})"


def _is_error(line: str) -> bool:
    """The Collector logs JSON, and ends with a plain line that starts with `Error:`."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.startswith(("Error:", "panic:"))
    return isinstance(entry, dict) and '"level":"error"' in line.replace(" ", "")


def free_address(held: contextlib.ExitStack) -> str:
    """Gives a loopback address that is free now and stays taken until `held` is closed."""
    listener = held.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    host, port = listener.getsockname()
    return f"{host}:{port}"
