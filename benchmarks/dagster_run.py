"""An instrumented Dagster run of 200 assets against the same run bare.

Both in one process, in turn: a pair of runs is measured within seconds of each other, so that what else the
machine does meets both alike. Instrumented means all that users get: bridge, spans, series and log events,
through the batch processors of the SDK, to exporters that throw away what they are given.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.row import Row

ASSETS = 200
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Writing a dozen lines an asset to a terminal would flatter the ratio."""
BOUND = 1.05


class CountingSpans(SpanExporter):
    """Throws spans away, and counts them."""

    count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count a batch."""
        self.count += len(spans)
        return SpanExportResult.SUCCESS


class CountingLogs(LogRecordExporter):
    """Throws log records away, and counts them."""

    count = 0

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Count a batch."""
        self.count += len(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Keep nothing."""
        return True

    def shutdown(self) -> None:
        """Do nothing."""


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of runs.

    Args:
        rounds: Half as many as pairs, after one that is not counted: a pair differs from the next by a tenth.
    """
    rounds *= 2
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    job = _job()
    spans, logs = CountingSpans(), CountingLogs()
    providers = _providers(spans, logs)
    ratios: list[float] = []
    times: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        # The second of a pair finds the machine as the first has left it: they take turns in being first.
        bare, instrumented = 0.0, 0.0
        for is_instrumented in (False, True) if number % 2 else (True, False):
            if is_instrumented:
                instrumented = _instrumented(job, providers)
            else:
                bare = _timed(job)
        if number:
            ratios.append(instrumented / bare)
            times.append((bare, instrumented))
    for provider in providers.values():
        provider.shutdown()
    assert spans.count == (rounds + 1) * (ASSETS + ASSETS + (ASSETS - 1) + 1), spans.count
    assert logs.count >= (rounds + 1) * 2 * (ASSETS + 1), logs.count
    bare_seconds = statistics.median(bare for bare, _ in times)
    return [
        Row(
            name="dagster run of 200 assets",
            ratio=statistics.median(ratios),
            bound=BOUND,
            sense="at most",
            rounds=rounds,
            note=f"floor: the same run bare, {bare_seconds:.2f} s of processor time; a chain, in process",
        )
    ]


def _job() -> Any:  # noqa: ANN401 - Dagster types its definitions in part only
    from dagster import (  # noqa: PLC0415 - a second
        Definitions,
        asset,
        define_asset_job,  # pyright: ignore[reportUnknownVariableType] - Dagster's
        in_process_executor,
    )

    def make(number: int) -> Any:  # noqa: ANN401 - as above
        if number == 0:

            @asset(name="asset_0")
            def first() -> int:
                return 0

            return first

        @asset(name=f"asset_{number}", ins={"before": _input(number - 1)})
        def following(before: int) -> int:
            return before + 1

        return following

    job = define_asset_job("all", executor_def=in_process_executor)
    return Definitions(assets=[make(n) for n in range(ASSETS)], jobs=[job]).resolve_job_def("all")


def _input(number: int) -> Any:  # noqa: ANN401 - as above
    from dagster import AssetIn  # noqa: PLC0415 - as above

    return AssetIn(key=f"asset_{number}")


def _providers(spans: SpanExporter, logs: LogRecordExporter) -> dict[str, Any]:
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(spans))
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    meters = MeterProvider([InMemoryMetricReader()])
    return {"tracer_provider": tracers, "logger_provider": loggers, "meter_provider": meters}


def _instrumented(job: Any, providers: dict[str, Any]) -> float:  # noqa: ANN401 - as above
    FlowstoneInstrumentor().instrument(**providers)
    DagsterInstrumentor().instrument()
    try:
        return _timed(job)
    finally:
        DagsterInstrumentor().uninstrument()
        FlowstoneInstrumentor().uninstrument()


def _timed(job: Any) -> float:  # noqa: ANN401 - as above
    gc.collect()
    # Processor time, of all threads: a run waits for nothing; the wall clock tells of others too.
    begun = time.process_time()
    result = job.execute_in_process(run_config=QUIET)
    seconds = time.process_time() - begun
    assert result.output_for_node(f"asset_{ASSETS - 1}") == ASSETS - 1
    return seconds
