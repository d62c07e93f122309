"""A minimal OTLP/HTTP receiver: what several real processes export ends up in one place."""

import gzip
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


def _plain(attributes):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


class Receiver:
    """Listens on a free port of the loopback interface."""

    def __init__(self):
        self.spans, self.logs, self._points = [], [], {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path in REQUESTS:
                    receiver._take(REQUESTS[self.path].FromString(body))
                self.send_response(200 if self.path in REQUESTS else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def named(self, name):
        """Return the attributes of the spans of that name."""
        return [_plain(span.attributes) for span in self.spans if span.name == name]

    def counts(self, metric, label="asset"):
        """Return a sum's last values by label, added up over the processes that exported it."""
        totals = Counter()
        for (name, _process, attributes), value in self._points.items():
            if name == metric:
                totals[dict(attributes).get(label)] += value
        return totals

    def _take(self, request):
        for resource in getattr(request, "resource_spans", ()):
            for scope in resource.scope_spans:
                self.spans += scope.spans
        for resource in getattr(request, "resource_logs", ()):
            for scope in resource.scope_logs:
                self.logs += scope.log_records
        for resource in getattr(request, "resource_metrics", ()):
            process = str(sorted(_plain(resource.resource.attributes).items()))
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points:
                        labels = tuple(sorted(_plain(point.attributes).items()))
                        self._points[metric.name, process, labels] = point.as_int or point.as_double
