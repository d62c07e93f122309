"""OpenTelemetry's SDK with exporters that keep everything in memory.

The exporters are not those of the SDK, which take a lock: a child that is forked while another thread has it
could never export.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from assay.semconv import attributes as registry


class _SpanList(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


class _LogList(LogRecordExporter):
    def __init__(self) -> None:
        self.records: list[ReadableLogRecord] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self.records.extend(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing waits
        return True

    def shutdown(self) -> None:
        pass


class InMemoryTelemetry:
    """One set of providers and their exported telemetry; a context manager that shuts them down.

    Attributes:
        tracer_provider: Takes spans.
        meter_provider: Takes measurements.
        logger_provider: Takes log events.
    """

    def __init__(self) -> None:
        self._spans = _SpanList()
        self._logs = _LogList()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    def __enter__(self) -> InMemoryTelemetry:  # noqa: PYI034 - typing.Self is not in 3.10
        """Return itself."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut the providers down."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()

    @property
    def providers(self) -> dict[str, Any]:
        """The arguments for `instrument` of an instrumentor."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the spans that have ended, in that order.

        Args:
            name: Only the spans of this name in the registry, whatever name they have made from its template.
        """
        return [
            span
            for span in list(self._spans.spans)
            if name is None or name in (span.name, (span.attributes or {}).get(registry.ASSAY_SPAN_EVENT))
        ]

    def logs(self, name: str | None = None) -> list[ReadableLogRecord]:
        """Return the log records.

        Args:
            name: Only the log events of this name.
        """
        return [record for record in list(self._logs.records) if name in {None, record.log_record.event_name}]

    def points(self, metric: str) -> list[Any]:
        """Return the data points of an instrument."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def totals(self, metric: str, label: str) -> Counter[Any]:
        """Return an instrument's values, or a histogram's counts, added up by the value of a label."""
        totals: Counter[Any] = Counter()
        for point in self.points(metric):
            value = point.count if hasattr(point, "count") else point.value
            totals[point.attributes.get(label)] += value
        return totals
