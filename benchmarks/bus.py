"""Measure the cost of an event without a handler."""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

from assay.telemetry import execute
from benchmarks.row import Row

BOUND = 3.0
CALLS = 200_000


def run(rounds: int = 5) -> list[Row]:
    """Measure `execute` with no handler against an empty function with the same arguments."""
    ratios = [_round() for _ in range(rounds)]
    note = "times an empty function call"
    return [Row("execute with no handler", median(ratios), BOUND, "at most", rounds, note)]


def _round() -> float:
    repetitions = range(CALLS // 10)
    empty = executed = 0
    for _ in range(10):
        empty += _time(_empty, repetitions)
        executed += _time(execute, repetitions)
    return executed / empty


def _time(function: object, repetitions: range) -> int:
    assert callable(function)
    measurements, metadata = {"count": 1}, {"asset": "orders"}
    start = perf_counter_ns()
    for _ in repetitions:
        function("benchmark.nobody.listens", measurements, metadata)
    return perf_counter_ns() - start


def _empty(_event: str, _measurements: object = None, _metadata: object = None) -> None:
    pass
