"""Load the exporter host with all signals at once, and sample its memory: it must stay flat.

    .venv/bin/python -m benchmarks.full_load --minutes 30

Prints one JSON object. The rate of audit records is bounded, because they stay on disk; the other senders
send as fast as the host answers.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from assay.audit.record import AuditRecord, to_log_record, to_pairs
from benchmarks.full_host import TOKENS, FullHost, running

SAMPLE_SECONDS = 5.0
AUDIT_RECORDS = 64
AUDIT_PAUSE = 0.05
EVENTS_PAUSE = 0.1
RECORDS = 512
SERIES = 50
PROCESSES = 20
"""Processes that report series in turn."""
FILES = 1024

Send = Callable[[], str]
"""Sends one batch and returns the answer's status."""


def main() -> None:
    """Load a host, and print the samples' summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), files=FILES) as host:
        print(json.dumps(load(host, minutes * 60), indent=2))


def load(host: FullHost, seconds: float) -> dict[str, Any]:
    """Load a host for some seconds; return its memory over time and the number of answers by status."""
    ending = threading.Event()
    answers: Counter[str] = Counter()
    loads = [
        ("audit", http_sender(host, "/v1/audit", TOKENS["auditor"], audit_records), AUDIT_PAUSE),
        ("events", http_sender(host, "/v1/logs", TOKENS["app"], _events), EVENTS_PAUSE),
        ("logs", http_sender(host, "/v1/logs", TOKENS["app"], _logs), 0.0),
        ("metrics", http_sender(host, "/v1/metrics", TOKENS["app"], _Series()), EVENTS_PAUSE),
        ("grpc", _grpc(host), 0.0),
    ]
    threads = [
        threading.Thread(target=_repeat, args=(name, send, pause, ending, answers), daemon=True)
        for name, send, pause in loads
    ]
    for thread in threads:
        thread.start()
    memory, health = _sample(host, seconds)
    ending.set()
    for thread in threads:
        thread.join()
    third = len(memory) // 3
    return {
        "minutes": round(seconds / 60, 1),
        "memory_mib": {
            "first": _mib(memory[third // 10 : third]),
            "middle": _mib(memory[third : 2 * third]),
            "last": _mib(memory[2 * third :]),
            "largest": round(max(memory) / 2**20, 1),
        },
        "health_seconds": {"median": round(statistics.median(health), 4), "largest": round(max(health), 3)},
        "answers": dict(sorted(answers.items())),
    }


def _sample(host: FullHost, seconds: float) -> tuple[list[int], list[float]]:
    memory: list[int] = []
    health: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(SAMPLE_SECONDS)
        memory.append(host.memory())
        health.append(host.health_seconds())
        print(f"{memory[-1] / 2**20:.1f} MiB, health {health[-1] * 1000:.0f} ms", file=sys.stderr, flush=True)
    return memory, health


def _mib(samples: list[int]) -> float:
    return round(statistics.median(samples) / 2**20, 1)


def _repeat(name: str, send: Send, pause: float, ending: threading.Event, answers: Counter[str]) -> None:
    while not ending.is_set():
        answers[f"{name} {send()}"] += 1
        if pause:
            ending.wait(pause)


def http_sender(host: FullHost, path: str, token: str, body: Callable[[], bytes]) -> Send:
    """Return a function that posts a body to a path on a connection of its own."""
    connection = http.client.HTTPConnection(host.addresses["http"], timeout=120)
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {token}"}

    def send() -> str:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", path, body(), headers)
            response = connection.getresponse()
            response.read()
            return str(response.status)
        connection.close()
        return "no answer"

    return send


def _grpc(host: FullHost) -> Send:
    channel: Any = grpc.insecure_channel(host.addresses["grpc"])
    call = channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
    body, metadata = _logs(), (("authorization", f"Bearer {TOKENS['app']}"),)

    def send() -> str:
        try:
            call(body, timeout=120, metadata=metadata)
        except grpc.RpcError as error:
            return str(error.code().name)  # pyright: ignore  (grpcio has no types)
        return "OK"

    return send


def audit_records() -> bytes:
    """Return a request of new audit records."""
    now = time.time_ns()
    return _request(
        to_log_record(
            AuditRecord(
                event_name="soak.approval",
                action="APPROVE",
                outcome="success",
                actor_id="ines",
                actor_type="user",
                record_id=str(uuid.uuid4()),
                time_unix_nano=now,
                observed_time_unix_nano=now,
                body="x" * 200,
            )
        )
        for _ in range(AUDIT_RECORDS)
    )


def _events() -> bytes:
    run = str(uuid.uuid4())
    attributes = {"flowstone.run_id": run, "flowstone.job": "soak", "assay.correlation_id": run}
    return _request(
        LogRecord(
            event_name=f"flowstone.run.{name}",
            time_unix_nano=time.time_ns(),
            attributes=to_pairs(attributes),
        )
        for name in ("queued", "start", "stop")
    )


def _logs() -> bytes:
    attributes = to_pairs({"url.path": "/orders", "note": "y" * 300})
    return _request(LogRecord(time_unix_nano=1, attributes=attributes) for _ in range(RECORDS))


def _request(records: Iterable[LogRecord]) -> bytes:
    resource = Resource(attributes=to_pairs({"service.name": "soak"}))
    part = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[part]).SerializeToString()


class _Series:
    """Series of processes that report in turn; each value grows."""

    def __init__(self) -> None:
        self._reports = 0

    def __call__(self) -> bytes:
        self._reports += 1
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        process = f"p{self._reports % PROCESSES}"
        resource.resource.attributes.extend(
            to_pairs({"service.name": "soak", "service.instance.id": process})
        )
        metric = resource.scope_metrics.add().metrics.add(name="soak.orders")
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        for number in range(SERIES):
            metric.sum.data_points.add(
                as_int=self._reports,
                start_time_unix_nano=1,
                time_unix_nano=time.time_ns(),
                attributes=to_pairs({"shop": str(number)}),
            )
        return request.SerializeToString()


if __name__ == "__main__":
    main()
