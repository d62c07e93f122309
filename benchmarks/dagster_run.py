"""Measure an instrumented Dagster run of 200 assets against the same run without instrumentation.

One row has Dagster's event log in SQLite files, as `dagster job execute` and the daemon have it with the
default storage; one has it in memory, which no deployment has, so that computing alone is compared. Both runs
of a pair happen in one process within seconds of each other, so that other load on the machine affects both.
"Instrumented" includes everything that users get: bridge, spans, series and log events, through the SDK's
batch processors, to exporters that discard their batches.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

from benchmarks import discard
from benchmarks.row import Row

ASSETS = 200
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Without it Dagster prints a dozen lines for each asset, which would lower the ratio."""
BOUND = 1.05


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of runs, with the event log on disk and in memory.

    Args:
        rounds: Number of counted pairs on disk, and half of those in memory, which differ by a tenth; an
            uncounted pair comes first.
    """
    from dagster import DagsterInstance  # noqa: PLC0415 - importing takes a second

    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    job = _job()
    with TemporaryDirectory() as folder, DagsterInstance.local_temp(folder) as on_disk:
        return [
            _measure(partial(_timed, job, on_disk), rounds, "event log on disk"),
            _measure(partial(_timed, job, None), 2 * rounds, "event log in memory"),
        ]


def _measure(timed: Callable[[], float], rounds: int, where: str) -> Row:
    spans, logs = discard.CountingSpans(), discard.CountingLogs()
    providers = discard.providers(spans, logs)
    ratios: list[float] = []
    times: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        # The first run affects the second (caches, memory), so the order alternates.
        bare, instrumented = 0.0, 0.0
        for is_instrumented in (False, True) if number % 2 else (True, False):
            if is_instrumented:
                instrumented = _instrumented(timed, providers)
            else:
                bare = timed()
        if number:
            ratios.append(instrumented / bare)
            times.append((bare, instrumented))
    for provider in providers.values():
        provider.shutdown()
    steps, made, stored, loaded, runs = ASSETS, ASSETS, ASSETS, ASSETS - 1, 2
    assert spans.count == (rounds + 1) * (steps + made + stored + loaded + runs), spans.count
    assert logs.count >= (rounds + 1) * 2 * (ASSETS + 1), logs.count
    bare_seconds = statistics.median(bare for bare, _ in times)
    return Row(
        name=f"dagster run of 200 assets, {where}",
        ratio=statistics.median(ratios),
        bound=BOUND,
        sense="at most",
        pairs=rounds,
        note=f"floor: the bare run, {bare_seconds:.2f} s of processor time; a chain, in process",
    )


def _job() -> Any:  # noqa: ANN401 - Dagster types only some of its definitions
    from dagster import (  # noqa: PLC0415 - importing takes a second
        Definitions,
        asset,
        define_asset_job,  # pyright: ignore[reportUnknownVariableType] - Dagster's
        in_process_executor,
    )

    def make(number: int) -> Any:  # noqa: ANN401 - Dagster's
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


def _input(number: int) -> Any:  # noqa: ANN401 - Dagster's
    from dagster import AssetIn  # noqa: PLC0415 - importing takes a second

    return AssetIn(key=f"asset_{number}")


def _instrumented(timed: Callable[[], float], providers: dict[str, Any]) -> float:
    FlowstoneInstrumentor().instrument(**providers)
    DagsterInstrumentor().instrument()
    try:
        return timed()
    finally:
        DagsterInstrumentor().uninstrument()
        FlowstoneInstrumentor().uninstrument()


def _timed(job: Any, instance: Any) -> float:  # noqa: ANN401 - Dagster's
    gc.collect()
    # Processor time of all threads: the wall clock would include other processes.
    begun = time.process_time()
    result = job.execute_in_process(run_config=QUIET, instance=instance)
    seconds = time.process_time() - begun
    assert result.output_for_node(f"asset_{ASSETS - 1}") == ASSETS - 1
    return seconds
