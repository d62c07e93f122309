"""Exporters that discard what they get, and OpenTelemetry's SDK with batch processors and such exporters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class CountingSpans(SpanExporter):
    """Counts spans and discards them."""

    count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count a batch."""
        self.count += len(spans)
        return SpanExportResult.SUCCESS


class CountingLogs(LogRecordExporter):
    """Counts log records and discards them."""

    count = 0

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Count a batch."""
        self.count += len(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Return at once: nothing is stored."""
        return True

    def shutdown(self) -> None:
        """Do nothing."""


class AcceptingAudit:
    """An exporter of audit records that accepts everything at once."""

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        """Return no receipts: the endpoint has none."""
        del request
        return []

    def shutdown(self) -> None:
        """Do nothing."""


def providers(spans: SpanExporter, logs: LogRecordExporter) -> dict[str, Any]:
    """Return the three providers by the names of their arguments of `instrument`."""
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(spans))
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    meters = MeterProvider([InMemoryMetricReader()])
    return {"tracer_provider": tracers, "logger_provider": loggers, "meter_provider": meters}
