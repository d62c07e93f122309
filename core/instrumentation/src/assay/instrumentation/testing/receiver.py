"""An OTLP/HTTP receiver for the exports of real processes."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from assay.instrumentation.testing.http_server import HTTPServerThread
from assay.semconv import attributes as registry

TRACES, METRICS, LOGS, AUDIT = "/v1/traces", "/v1/metrics", "/v1/logs", "/v1/audit"
MESSAGES: dict[str, Any] = {
    TRACES: ExportTraceServiceRequest,
    METRICS: ExportMetricsServiceRequest,
    LOGS: ExportLogsServiceRequest,
    AUDIT: ExportLogsServiceRequest,
}
"""The message that each path takes."""


class OTLPReceiver(HTTPServerThread):
    """Listens on a free port of 127.0.0.1 and keeps the requests; a context manager.

    Attributes:
        endpoint: Its URL, without a path.
        status: The HTTP status that it answers, 200 at first.
        requests: The path and the parsed message of each request that it accepted.
        bodies: The bodies of all requests, decompressed.
    """

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[tuple[str, Any]] = []
        self.bodies: list[bytes] = []
        super().__init__(type("Handler", (_Handler,), {"receiver": self}))
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def messages(self, path: str) -> list[Any]:
        """Return the parsed messages of a path."""
        return [message for requested, message in list(self.requests) if requested == path]

    def spans(self, name: str | None = None) -> list[Span]:
        """Return the spans, or those of one name; its name in the registry finds a span too."""
        return [
            span
            for message in self.messages(TRACES)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if name in {None, span.name, attributes(span.attributes).get(registry.ASSAY_SPAN_EVENT)}
        ]

    def scopes(self) -> list[Any]:
        """Return the instrumentation scopes of the spans."""
        return [
            scope.scope
            for message in self.messages(TRACES)
            for resource in message.resource_spans
            for scope in resource.scope_spans
        ]

    def logs(self, path: str = LOGS) -> list[LogRecord]:
        """Return the log records of a path: those of `/v1/logs`, or the audit records of `/v1/audit`."""
        return [
            record
            for message in self.messages(path)
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def metrics(self) -> list[Metric]:
        """Return the metrics of all requests, in their order."""
        return [metric for _, metric in self._metrics()]

    def resources(self) -> list[dict[str, Any]]:
        """Return the attributes of the spans' resources."""
        return [
            attributes(resource.resource.attributes)
            for message in self.messages(TRACES)
            for resource in message.resource_spans
        ]

    def totals(self, metric: str, label: str) -> Counter[Any]:
        """Return a sum's last values by the value of a label, summed over the exporting processes."""
        last: dict[tuple[str, str], tuple[Any, Any]] = {}
        for process, found in self._metrics():
            if found.name == metric:
                for point in found.sum.data_points:
                    labels = attributes(point.attributes)
                    last[process, str(sorted(labels.items()))] = (
                        labels.get(label),
                        point.as_int or point.as_double,
                    )
        totals: Counter[Any] = Counter()
        for value, number in last.values():
            totals[value] += number
        return totals

    def _metrics(self) -> Iterator[tuple[str, Metric]]:
        for message in self.messages(METRICS):
            for resource in message.resource_metrics:
                process = str(sorted(attributes(resource.resource.attributes).items()))
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield process, metric


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return OTLP attributes by key."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


class _Handler(BaseHTTPRequestHandler):
    receiver: ClassVar[OTLPReceiver]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Accept a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.receiver.bodies.append(body)
        status = self.receiver.status if self.path in MESSAGES else 404
        if status == 200:  # noqa: PLR2004 - HTTP's OK
            self.receiver.requests.append((self.path, MESSAGES[self.path].FromString(body)))
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""
