"""Batch processors whose exports are redacted, bounded in time at exit, and safe after a fork."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from assay.distro import _otel_variables
from assay.distro._deadline import EXIT
from assay.distro._redaction import redacted_metrics, redacted_record, redacted_span
from assay.distro.otlp_http import (
    DeferredLogRecordExporter,
    DeferredSpanExporter,
    exporters_variables,
)

_logger = logging.getLogger("assay.distro")


_DEFERRED = (DeferredSpanExporter, DeferredLogRecordExporter)


class _Closable(Protocol):
    def shutdown(self) -> None: ...


_ExporterT = TypeVar("_ExporterT", bound=_Closable)


class _ForkSafe(Generic[_ExporterT]):
    """Holds an exporter, and replaces it in a forked child, which must not write to its parent's connection.

    Args:
        exporter: The exporter of this process.
    """

    def __init__(self, exporter: _ExporterT) -> None:
        self.exporter = exporter
        self._variables = exporters_variables()
        if hasattr(os, "register_at_fork"):
            renew = weakref.WeakMethod(self._renew)
            os.register_at_fork(after_in_child=lambda: (call := renew()) and call())

    def _renew(self) -> None:
        now = exporters_variables()
        # The environment was corrected only while the first exporter was created.
        changes = {name: self._variables.get(name) for name in now.keys() | self._variables.keys()}
        try:
            with _otel_variables.environment(changes):
                self.exporter = type(self.exporter)()
        except Exception:
            _logger.exception("cannot create %s in a forked child", type(self.exporter).__name__)


class RedactingSpanExporter(SpanExporter):
    """Redacts spans before `exporter` exports them. Runs on the batch processor's thread."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._current = _ForkSafe(exporter)

    @property
    def current(self) -> SpanExporter:
        """The exporter of this process."""
        return self._current.exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export redacted copies."""
        return self.current.export([redacted_span(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down; a retry in progress ends."""
        self.current.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter."""
        return self.current.force_flush(timeout_millis)


class RedactingLogRecordExporter(LogRecordExporter):
    """Redacts log records before `exporter` exports them. Runs on the batch processor's thread."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        self._current = _ForkSafe(exporter)

    @property
    def current(self) -> LogRecordExporter:
        """The exporter of this process."""
        return self._current.exporter

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export redacted copies."""
        return self.current.export([redacted_record(record) for record in batch])

    def shutdown(self) -> None:
        """Shut the exporter down; a retry in progress ends."""
        self.current.shutdown()

    def force_flush(self, timeout_millis: int = 10000) -> bool:
        """Flush the exporter."""
        return self.current.force_flush(timeout_millis)


class _SpanProcessor(BatchSpanProcessor):
    def shutdown(self) -> None:
        _load_exporter(self._batch_processor)
        self._batch_processor.shutdown(timeout_millis=int(EXIT.left() * 1000))


class _LogProcessor(BatchLogRecordProcessor):
    def shutdown(self) -> None:
        _load_exporter(self._batch_processor)
        self._batch_processor.shutdown(timeout_millis=int(EXIT.left() * 1000))


def _load_exporter(processor: Any) -> None:  # noqa: ANN401 - upstream's batch processor
    """Load the exporter of what waits: its import must not take the time that is for the export."""
    exporter = processor._exporter.current  # noqa: SLF001 - no public way, nor to what waits
    if processor._queue and isinstance(exporter, _DEFERRED):  # noqa: SLF001
        exporter.load()


def span_processor(span_exporter: SpanExporter, *args: Any, **kwargs: Any) -> BatchSpanProcessor:  # noqa: ANN401 - upstream's protocol
    """Return the batch processor of one span exporter."""
    return _SpanProcessor(RedactingSpanExporter(span_exporter), *args, **kwargs)


def log_processor(exporter: LogRecordExporter, *args: Any, **kwargs: Any) -> BatchLogRecordProcessor:  # noqa: ANN401 - upstream's protocol
    """Return the batch processor of one log exporter."""
    return _LogProcessor(RedactingLogRecordExporter(exporter), *args, **kwargs)


def redact_metrics(provider: object) -> None:
    """Make every reader of a meter provider receive redacted metrics, whether it pushes or is scraped.

    Args:
        provider: The SDK's meter provider; nothing happens to one of another type.
    """
    if isinstance(provider, MeterProvider):
        for reader in provider._metric_readers:  # noqa: SLF001 - upstream creates them, and has no hook
            _redact_received(reader)


def _redact_received(reader: MetricReader) -> None:
    receive = reader._receive_metrics  # noqa: SLF001 - each reader defines it; all metrics pass it

    def receive_redacted(metrics_data: MetricsData, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        receive(redacted_metrics(metrics_data), *args, **kwargs)

    reader._receive_metrics = receive_redacted  # noqa: SLF001 - as above
