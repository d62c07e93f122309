"""HTTP sessions of upstream's OTLP exporters, separate from the application's HTTP traffic."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from assay.audit.sessions import ExporterSession
from assay.distro._otel_variables import HTTP, SIGNALS, protocol

_EXPORTERS = {
    "TRACES": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    "METRICS": ("opentelemetry.exporter.otlp.proto.http.metric_exporter", "OTLPMetricExporter"),
    "LOGS": ("opentelemetry.exporter.otlp.proto.http._log_exporter", "OTLPLogExporter"),
}
_CREDENTIALS = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"


def exporter_arguments() -> dict[type, dict[str, Any]]:
    """Return the constructor arguments of the OTLP/HTTP exporters that the environment configures.

    An exporter with a credential provider is left out: the provider gives it a session.
    """
    return {_class(signal): {"session": ExporterSession()} for signal in SIGNALS if _needs_session(signal)}


def _needs_session(signal: str) -> bool:
    exports = "otlp" in os.environ.get(f"OTEL_{signal}_EXPORTER", "")
    provided = any(os.environ.get(_CREDENTIALS.format(part)) for part in ("", f"{signal}_"))
    return exports and protocol(signal) == HTTP and not provided


def _class(signal: str) -> type:
    module, name = _EXPORTERS[signal]
    return getattr(import_module(module), name)
