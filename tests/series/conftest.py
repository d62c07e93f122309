"""A deployment of real processes: applications, a Collector, the exporter host, and a Prometheus."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from assay.cli._addresses import HostAddresses
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import Addresses, CollectorProcess
from assay.cli._demo.prometheus import Prometheus, find_prometheus
from assay.cli._loopback import answers

TOKEN = "the-hosts-token"
GAUGE_SECONDS = 4
WORKER = """
import os, sys
from assay.distro import flush
from assay.telemetry import execute, span

def emit():
    with span("flowstone.materialization", asset="orders", run_id="r", partition="p"):
        with span("flowstone.io.load", asset="orders", io_manager="files", size_bytes=10):
            pass

for line in sys.stdin:
    match line.strip():
        case "emit":
            emit()
        case "flush":
            flush(20)
        case "healthy":
            execute("flowstone.resource.health_check", metadata={"resource": "db", "healthy": True})
        case "fork":
            if (child := os.fork()) == 0:
                emit()
                flush(20)
                os._exit(0)
            os.waitpid(child, 0)
    print("done", flush=True)
"""


class Worker:
    """A program under `opentelemetry-instrument` that does what it is sent, line by line."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [launcher, sys.executable, "-c", WORKER],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def do(self, *lines: str) -> Worker:
        for line in lines:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "done\n"
        return self

    def end(self) -> None:
        """Let it end as a program that has done its work."""
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Deployment:
    """The services. The host and the Collector can be killed and started again."""

    def __init__(self, folder: Path, collector_binary: Path) -> None:
        self.folder = folder
        self.addresses = HostAddresses.free()
        self.collector = CollectorProcess(
            collector_binary,
            COMPOSITIONS["gateway"].paths,
            addresses=Addresses.free(),
            storage=folder / "queue",
            log=folder / "collector.log",
            environment={
                "ASSAY_HOST_TOKEN": TOKEN,
                "ASSAY_HOST_GRPC_ENDPOINT": self.addresses.grpc,
            },
        )
        self.prometheus = Prometheus(find_prometheus(), folder / "prometheus", self.addresses.metrics)
        self._host: subprocess.Popen[bytes] | None = None
        self._workers: list[Worker] = []

    def start_host(self) -> None:
        listener = {"name": "collector", "protocol": "grpc", "address": self.addresses.grpc}
        config = {
            "listeners": [{**listener, "peer": "collector", "auth": {"bearer": TOKEN}}],
            "health": {"address": self.addresses.health},
            "exporters": {
                "metrics": {
                    "type": "metrics",
                    "database": str(self.folder / "metrics.db"),
                    "address": self.addresses.metrics,
                    "zero_seconds": 0,
                    "gauge_seconds": GAUGE_SECONDS,
                },
                **{
                    name: {"type": "otlp-lines", "path": str(self.folder / f"{name}.jsonl")}
                    for name in ("cdevents", "traces", "logs")
                },
            },
        }
        path = self.folder / "host.yaml"
        path.write_text(yaml.safe_dump(config))
        with (self.folder / "host.log").open("ab") as log:
            self._host = subprocess.Popen(
                [sys.executable, "-m", "assay.cli", "serve", "--config", str(path)], stdout=log, stderr=log
            )
        wait_until(lambda: answers(f"http://{self.addresses.health}/health/ready"))

    def kill_host(self) -> None:
        if self._host is not None:
            self._host.kill()
            self._host.wait()

    def worker(self, **environment: str) -> Worker:
        worker = Worker(
            {
                "OTEL_SERVICE_NAME": "shop",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.collector.addresses.otlp_http}",
                "OTEL_METRIC_EXPORT_INTERVAL": "500",
                **environment,
            },
            self.folder / "workers.log",
        )
        self._workers.append(worker)
        return worker

    def increase(self, name: str) -> float:
        """Return the sum of the name's `increase()`, as Prometheus computes it."""
        return sum(value for _, value in self.prometheus.increases(name))

    def wait_for_scrapes(self, number: int) -> None:
        """Wait until Prometheus has scraped so many times more; it does so every second."""
        first: list[float] = []

        def reached() -> bool:
            if at := self.prometheus.last_scrape():
                first.append(float(at))
            return bool(first) and first[-1] >= first[0] + number

        wait_until(reached)

    def series(self) -> set[str]:
        """Return every series that Prometheus has ever had, except its own about the scrape."""
        found = self.prometheus._get("series", {"match[]": '{__name__=~"flowstone_.+|traces_span_.+"}'})
        return {str(sorted(labels.items())) for labels in found}

    def end(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()
        self.collector.stop()
        self.kill_host()


def wait_until(reached: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


@pytest.fixture
def deployment(collector_binary, tmp_path, skip_or_fail) -> Iterator[Deployment]:
    if find_prometheus() is None:
        skip_or_fail("prometheus is not on PATH: install the Debian package `prometheus`")
    made = Deployment(tmp_path, collector_binary.path)
    with contextlib.ExitStack() as stack:
        stack.callback(made.end)
        made.start_host()
        made.collector.start()
        stack.enter_context(made.prometheus)
        yield made
