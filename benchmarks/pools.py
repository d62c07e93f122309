"""Measure tasks in pools: instrumented beside bare, and beside the same telemetry written by hand.

Every pool has one worker, which gets the tasks of a batch at once. By hand, a task is a span from submission
to result, a span inside the worker as its child, a counter, two histograms and a log event, with equal
attributes. The sides take turns, batch by batch, so that other load on the machine affects both.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import monotonic_ns, perf_counter_ns, thread_time_ns, time_ns
from typing import Any, TypeAlias

from opentelemetry import propagate, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor
from opentelemetry.instrumentation.threading import (  # pyright: ignore[reportMissingTypeStubs]
    ThreadingInstrumentor,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from assay.telemetry import correlation
from benchmarks.operation import Providers
from benchmarks.row import Row

MILLISECOND = 1_000_000
BATCH = 50
BATCHES = 20
RUN = "0f8b7c52-7f5c-4a6e-9a60-0d3e63c1f7a4"
POOL = "benchmark"
COMMAND = "benchmarks.pools.nothing"

Task: TypeAlias = Callable[[], object]
Side: TypeAlias = Callable[[], int]
"""Runs a batch of tasks, and returns its time in ns."""


def run(rounds: int = 5) -> list[Row]:
    """Measure tasks in processes and threads."""
    hand = ByHand()
    with instrumentable(), correlation(RUN), processes() as one, processes() as other:
        rows = [
            Row(
                "process-pool task of 1 ms",
                _measure(rounds, _bare(one, work), _instrumented(other, work)),
                1.10,
                "at most",
                rounds,
                f"times bare; {BATCH} tasks at once, one worker",
            ),
            Row(
                "empty process-pool task",
                _measure(rounds, partial(hand.in_process, one, nothing), _instrumented(other, nothing)),
                None,
                "at most",
                rounds,
                "times the same by hand: two spans, counter, two histograms, log event",
            ),
        ]
    with instrumentable(), correlation(RUN), threads() as one, threads() as other:
        rows += [
            Row(
                f"thread-pool task, {kind}",
                _measure(rounds, partial(hand.in_thread, one, task), _instrumented(other, task)),
                bound,
                "at most",
                rounds,
                "times upstream's threading instrumentation and the same by hand",
            )
            for kind, task, bound in (("1 ms", work, 1.05), ("empty", nothing, None))
        ]
    return rows


def work() -> None:
    """Work for a millisecond of processor time."""
    end = thread_time_ns() + MILLISECOND
    while thread_time_ns() < end:
        pass


def nothing() -> None:
    """Do nothing."""


def processes() -> ProcessPoolExecutor:
    """Return a pool of one process."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))


def threads() -> ThreadPoolExecutor:
    """Return a pool of one thread."""
    return ThreadPoolExecutor(1, POOL)


@contextmanager
def instrumentable() -> Generator[None]:
    """Export Snakepit's events through an SDK for the block."""
    providers = Providers(ALWAYS_ON)
    SnakepitInstrumentor().instrument(
        tracer_provider=providers.tracer, meter_provider=providers.meter, logger_provider=providers.logger
    )
    try:
        yield
    finally:
        SnakepitInstrumentor().uninstrument()
    assert providers.spans.count > 0
    assert providers.logs.count > 0
    providers.shutdown()


def _bare(executor: Executor, task: Task) -> Side:
    def batch() -> int:
        start = perf_counter_ns()
        _finish([executor.submit(task) for _ in range(BATCH)])
        return perf_counter_ns() - start

    return batch


def _instrumented(executor: Executor, task: Task) -> Side:
    bare = _bare(executor, task)

    def batch() -> int:
        FuturesInstrumentor().instrument()
        try:
            return bare()
        finally:
            FuturesInstrumentor().uninstrument()

    return batch


def _finish(futures: list[Future[Any]]) -> None:
    for future in futures:
        future.result()


class ByHand:
    """The telemetry of a task as in OpenTelemetry's documentation."""

    def __init__(self) -> None:
        self._providers = Providers(ALWAYS_ON)
        self._tracer = self._providers.tracer.get_tracer("assay.benchmark", "1")
        self._logger = self._providers.logger.get_logger("assay.benchmark", "1")
        meter = self._providers.meter.get_meter("assay.benchmark", "1")
        self._requests = meter.create_counter("requests", "{request}")
        self._duration = meter.create_histogram("duration", "s")
        self._queue_time = meter.create_histogram("queue_time", "s")
        global _tracer  # noqa: PLW0603 - a forked worker finds it there
        _tracer = self._tracer

    def in_process(self, executor: Executor, task: Task) -> int:
        """Run a batch of tasks in a process; return its time in ns."""
        start = perf_counter_ns()
        futures: list[Future[int]] = []
        for _ in range(BATCH):
            submitted = monotonic_ns()
            span = self._tracer.start_span("request", attributes=_attributes())
            with trace.use_span(span):
                carrier: dict[str, str] = {}
                propagate.inject(carrier)
                future = executor.submit(_in_worker, task, carrier, RUN)
            future.add_done_callback(partial(self._end, span, submitted))
            futures.append(future)
        _finish(futures)
        return perf_counter_ns() - start

    def in_thread(self, executor: Executor, task: Task) -> int:
        """Run a batch of tasks in a thread, to which upstream carries the context."""
        ThreadingInstrumentor().instrument()
        try:
            start = perf_counter_ns()
            futures: list[Future[int]] = []
            for _ in range(BATCH):
                submitted = monotonic_ns()
                span = self._tracer.start_span("request", attributes=_attributes())
                with trace.use_span(span):
                    future = executor.submit(_in_worker, task, None, RUN)
                future.add_done_callback(partial(self._end, span, submitted))
                futures.append(future)
            _finish(futures)
            return perf_counter_ns() - start
        finally:
            ThreadingInstrumentor().uninstrument()

    def _end(self, span: trace.Span, submitted: int, future: Future[int]) -> None:
        labels = {"pool_name": POOL, "command": COMMAND}
        queue_time, duration = future.result() - submitted, monotonic_ns() - submitted
        result = {
            "benchmark.worker_id": POOL,
            "benchmark.success": True,
            "benchmark.status": "success",
            "benchmark.queue_time_ms": queue_time * 1e-6,
        }
        with trace.use_span(span, end_on_exit=True):
            # Inside the span, which is their exemplar.
            self._requests.add(1, {**labels, "status": "success"})
            self._duration.record(duration * 1e-9, labels)
            self._queue_time.record(queue_time * 1e-9, {"pool_name": POOL})
            self._logger.emit(
                timestamp=time_ns(),
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body="Request completed",
                event_name="request.completed",
                attributes={
                    **_attributes(),
                    **result,
                    "benchmark.duration_ms": duration * 1e-6,
                    "benchmark.in_span": True,
                },
            )
            span.set_attributes(result)


_tracer: trace.Tracer = trace.NoOpTracer()


def _attributes() -> dict[str, str]:
    return {
        "benchmark.request_id": "9b1ee9de-2",
        "benchmark.correlation_id": RUN,
        "benchmark.command": COMMAND,
        "benchmark.pool_name": POOL,
        "assay.correlation_id": RUN,
    }


def _in_worker(task: Task, carrier: dict[str, str] | None, correlation_id: str) -> int:
    """Run a task inside a span; return when it began, on the monotonic clock in ns."""
    began = monotonic_ns()
    context = None if carrier is None else propagate.extract(carrier)
    attributes = {
        "benchmark.command": COMMAND,
        "benchmark.worker_id": POOL,
        "assay.correlation_id": correlation_id,
    }
    with _tracer.start_as_current_span("call", context, attributes=attributes):
        task()
    return began


def _measure(rounds: int, floor: Side, measured: Side) -> float:
    _alternate(floor, measured, 2)
    ratios: list[float] = []
    for _ in range(rounds):
        floor_time, measured_time = _alternate(floor, measured, BATCHES)
        ratios.append(measured_time / floor_time)
    return median(ratios)


def _alternate(first: Side, second: Side, batches: int) -> tuple[int, int]:
    """Return the time of each side (ns); they take turns, in alternating order."""
    times = [0, 0]
    for batch in range(batches):
        order = ((0, first), (1, second)) if batch % 2 == 0 else ((1, second), (0, first))
        for side, run_batch in order:
            times[side] += run_batch()
    return times[0], times[1]
