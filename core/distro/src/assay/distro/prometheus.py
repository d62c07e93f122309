"""The series on a local `/metrics`, when OTEL_METRICS_EXPORTER names `prometheus`.

Names and labels are exactly those of the registry: upstream's reader without its labels for the scope, on a
registry of its own, so that it neither shows nor disturbs what else the app gives to prometheus_client.
"""

from __future__ import annotations

import logging
import os

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry, start_http_server

PORT = 9464
"""The specification's default."""

_logger = logging.getLogger("assay.distro")


class LocalPrometheusReader(PrometheusMetricReader):
    """Serves the series on OTEL_EXPORTER_PROMETHEUS_HOST and _PORT: loopback, 9464 by default."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        super().__init__(scope_info_enabled=False, registry=registry)
        host = os.environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip() or "127.0.0.1"
        port = int(os.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", "").strip() or PORT)
        try:
            start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            _logger.warning(
                "no /metrics here: cannot listen on %s:%d (%s). Give another "
                "OTEL_EXPORTER_PROMETHEUS_HOST or OTEL_EXPORTER_PROMETHEUS_PORT; everything else goes on.",
                host,
                port,
                error.strerror or error,
            )
