"""A local `/metrics` endpoint, when OTEL_METRICS_EXPORTER names `prometheus`.

Names and labels are exactly those of the registry: upstream's reader without its scope labels. It has a
prometheus_client registry of its own, separate from the application's.
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
                "/metrics is not served: cannot listen on %s:%d (%s). Set another "
                "OTEL_EXPORTER_PROMETHEUS_HOST or OTEL_EXPORTER_PROMETHEUS_PORT. All else works.",
                host,
                port,
                error.strerror or error,
            )
