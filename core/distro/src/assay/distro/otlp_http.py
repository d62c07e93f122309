"""OTLP/HTTP exporters that load upstream's with the first batch, and with it an HTTP client and protobuf.

Many short processes send nothing: commands, hooks, helpers of multiprocessing. They do not pay for that
import, a fifth of the start-up's processor time. The HTTP sessions are separate from the application's HTTP
traffic.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from assay.distro._collection import paused
from assay.distro._deadline import EXIT
from assay.distro._otel_variables import DEFERRED_OTLP, GRPC, SIGNALS, environment, otlp_variable, protocol

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

_EXPORTERS = {
    "TRACES": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    "METRICS": ("opentelemetry.exporter.otlp.proto.http.metric_exporter", "OTLPMetricExporter"),
    "LOGS": ("opentelemetry.exporter.otlp.proto.http._log_exporter", "OTLPLogExporter"),
}
_CREDENTIALS = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"
_PREFERENCES = tuple(
    otlp_variable(option, "METRICS") for option in ("TEMPORALITY_PREFERENCE", "DEFAULT_HISTOGRAM_AGGREGATION")
)
_SESSIONS = "assay.audit.sessions"
_HTTP_CLIENTS = ("requests", "urllib3")

_creation = threading.RLock()
"""Held while a thread imports and creates an exporter. A fork waits for it: in the child, the import locks of
that thread would be held forever."""

_logger = logging.getLogger("assay.distro")


def selected() -> dict[str, str]:
    """Return the `OTEL_*_EXPORTER` variables that name OTLP over HTTP, with these exporters instead."""
    changes: dict[str, str] = {}
    for signal in SIGNALS:
        name = f"OTEL_{signal}_EXPORTER"
        given = [part.strip() for part in os.environ.get(name, "").split(",")]
        over_http = {"otlp_proto_http"} if protocol(signal) == GRPC else {"otlp_proto_http", "otlp"}
        if not over_http.isdisjoint(given):
            changes[name] = ",".join(DEFERRED_OTLP if part in over_http else part for part in given)
    return changes


def load_with_the_application() -> None:
    """Load the exporters' HTTP session as soon as the application loads requests or urllib3.

    `responses`, `requests-mock` and `vcrpy` import these, and replace parts of them when they are activated.
    The session needs the original parts.
    """
    for name in _HTTP_CLIENTS:
        wrapt.register_post_import_hook(_load_session, name)  # pyright: ignore[reportUnknownMemberType]


def _load_session(module: ModuleType) -> None:
    if module.__name__ == "urllib3" and "requests" in sys.modules:
        return  # requests is importing it, and calls this when it has been imported itself
    try:
        import_module(_SESSIONS)
    except Exception:  # the application's import must not fail
        _logger.debug("cannot load %s", _SESSIONS, exc_info=True)


class _Deferred:
    """Creates upstream's exporter of one signal when it is needed, with the variables of this moment.

    Args:
        signal: `TRACES`, `METRICS` or `LOGS`.
    """

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._variables = exporters_variables()
        self._exporter: Any = None
        self._has_provider = any(os.environ.get(_CREDENTIALS.format(part)) for part in ("", f"{signal}_"))
        if self._has_provider:
            self.exporter()  # a wrong one is an error of the configuration, reported now

    def exporter(self) -> Any:  # noqa: ANN401 - one of three types
        """Return the exporter; the first call creates it, outside of the time for the last exports."""
        with _creation:
            if self._exporter is None:
                begun = monotonic()
                self._exporter = self._create()
                EXIT.exclude_since(begun)
            return self._exporter

    def load(self) -> None:
        """Create the exporter at the end of the program; an error is reported when it exports."""
        with paused(), suppress(Exception):
            self.exporter()

    def shutdown(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signatures differ
        """Shut the exporter down if there is one; a retry in progress ends."""
        if self._exporter is not None:
            self._exporter.shutdown(*args, **kwargs)

    def _create(self) -> Any:  # noqa: ANN401 - one of three types
        module, name = _EXPORTERS[self._signal]
        create = getattr(import_module(module), name)
        # The environment was corrected only while the SDK configured itself.
        now = exporters_variables()
        changes = {key: self._variables.get(key) for key in now.keys() | self._variables.keys()}
        changes = {key: value for key, value in changes.items() if value != now.get(key)}
        with environment(changes):
            # A credential provider gives the exporter a session.
            return (
                create() if self._has_provider else create(session=import_module(_SESSIONS).ExporterSession())
            )


def exporters_variables() -> dict[str, str]:
    """Return the variables that exporters read."""
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_EXPORTER_")}


class DeferredSpanExporter(SpanExporter):
    """Exports spans over OTLP/HTTP."""

    def __init__(self) -> None:
        self._deferred = _Deferred("TRACES")

    def load(self) -> None:
        """Load upstream's exporter."""
        self._deferred.load()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch."""
        return self._deferred.exporter().export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: nothing is buffered."""
        del timeout_millis
        return True

    def shutdown(self) -> None:
        """Shut down."""
        self._deferred.shutdown()


class DeferredMetricExporter(MetricExporter):
    """Exports metrics over OTLP/HTTP. Without preferences in the environment they are cumulative."""

    def __init__(self) -> None:
        self._deferred = _Deferred("METRICS")
        self._exporting: threading.Thread | None = None
        if any(os.environ.get(name) for name in _PREFERENCES):
            exporter = self._deferred.exporter()
            super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - the periodic reader reads them there
        else:
            super().__init__()

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # noqa: ANN401 - upstream's signature
    ) -> MetricExportResult:
        """Export a batch."""
        self._exporting = threading.current_thread()
        try:
            return self._deferred.exporter().export(metrics_data, timeout_millis, **kwargs)
        finally:
            self._exporting = None

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: nothing is buffered."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's
        """Shut down.

        The reader waits for its last export, and does not know that an import has taken the time.
        """
        with _creation:  # the import in progress
            thread = self._exporting
        if thread is not None and thread is not threading.current_thread():
            thread.join(EXIT.remaining())
        self._deferred.shutdown(timeout_millis, **kwargs)


class DeferredLogRecordExporter(LogRecordExporter):
    """Exports log records over OTLP/HTTP."""

    def __init__(self) -> None:
        self._deferred = _Deferred("LOGS")

    def load(self) -> None:
        """Load upstream's exporter."""
        self._deferred.load()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export a batch."""
        return self._deferred.exporter().export(batch)

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Do nothing: nothing is buffered."""
        del timeout_millis
        return True

    def shutdown(self) -> None:
        """Shut down."""
        self._deferred.shutdown()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_creation.acquire, after_in_parent=_creation.release, after_in_child=_creation.release
    )
