"""One process of `dagster_peers`: run 200 Dagster assets with one instrumentation, and print the time.

Dagster's event log is in SQLite files, as with the default storage.

    python peer_run.py MODE [RUNS]

MODE is `bare`, `assay`, `dagster-otel` or `opentelemetry-instrumentation-dagster`; RUNS is the number of runs
(4). The output is one line of JSON: the median processor time of a run in seconds, without the first, and the
numbers of spans and of log records of a run. The file imports nothing of the checkout, because each peer has
an environment of its own.
"""

# pyright: basic
# Each mode imports packages that the other environments lack.

import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
ASSETS = 200
RUNS = 4
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def build_job(decorate: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - Dagster types only some definitions
    """Return a job of a chain of assets, in process.

    Args:
        decorate: Applied to the function of each asset.
    """
    from dagster import AssetIn, Definitions, asset, define_asset_job, in_process_executor  # noqa: PLC0415

    def make(number: int) -> Any:  # noqa: ANN401 - Dagster's
        if number == 0:

            def first() -> int:
                return 0

            return asset(name="asset_0")(decorate(first))

        def following(before: int) -> int:
            return before + 1

        source = AssetIn(key=f"asset_{number - 1}")
        return asset(name=f"asset_{number}", ins={"before": source})(decorate(following))

    job = define_asset_job("all", executor_def=in_process_executor)
    return Definitions(assets=[make(n) for n in range(ASSETS)], jobs=[job]).resolve_job_def("all")


def instrument(mode: str, providers: dict[str, Any]) -> Callable[[Any], Any]:
    """Instrument this process; return the decorator of each asset's function."""
    if mode == "assay":
        flowstone = importlib.import_module("opentelemetry.instrumentation.flowstone")
        flowstone.FlowstoneInstrumentor().instrument(**providers)
        dagster = importlib.import_module("opentelemetry.instrumentation.flowstone.dagster")
        dagster.DagsterInstrumentor().instrument()
    elif mode == "dagster-otel":
        return importlib.import_module("dagster_otel").traced
    elif mode == "opentelemetry-instrumentation-dagster":
        importlib.import_module("opentelemetry.instrumentation.dagster").DagsterInstrumentor().instrument()
    return lambda function: function


def _providers(exported: dict[str, int]) -> dict[str, Any]:
    """Set up all three signals with batch processors, to exporters that count and discard.

    The peers emit spans alone and would export each at once; they get the batch processor as well.
    """
    from opentelemetry import trace  # noqa: PLC0415 - the bare run has no OpenTelemetry
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    class Discard:
        """Counts what it gets and discards it."""

        def __init__(self, signal: str) -> None:
            self._signal = signal

        def export(self, batch: Any) -> Any:  # noqa: ANN401 - spans or log records
            exported[self._signal] += len(batch)

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
            return True

    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(Discard("spans")))  # pyright: ignore[reportArgumentType]
    loggers.add_log_record_processor(BatchLogRecordProcessor(Discard("logs")))  # pyright: ignore[reportArgumentType]
    trace.set_tracer_provider(tracers)
    meters = MeterProvider([InMemoryMetricReader()])
    return {"tracer_provider": tracers, "logger_provider": loggers, "meter_provider": meters}


def run(job: Any, runs: int) -> list[float]:  # noqa: ANN401 - Dagster's
    """Run a job several times; return the processor time of each run in seconds."""
    from dagster import DagsterInstance  # noqa: PLC0415 - after the instrumentation

    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, DagsterInstance.local_temp(folder) as instance:
        for _ in range(runs):
            gc.collect()  # a full collection takes long, and would fall into some runs only
            begun = time.process_time()
            result = job.execute_in_process(run_config=QUIET, instance=instance)
            times.append(time.process_time() - begun)
            if result.output_for_node(f"asset_{ASSETS - 1}") != ASSETS - 1:
                sys.exit("the run returned a wrong result")
    return times


def main(mode: str, runs: int) -> None:
    """Run the job and print the result."""
    exported = {"spans": 0, "logs": 0}
    providers = {} if mode == "bare" else _providers(exported)
    decorate = instrument(mode, providers)
    times = run(build_job(decorate), runs)
    for provider in providers.values():
        provider.force_flush()
    # The first run fills caches.
    emitted = {signal: count // runs for signal, count in exported.items()}
    print(json.dumps({"seconds": statistics.median(times[1:] or times), **emitted}))


if __name__ == "__main__":
    given_mode, given_runs = [*sys.argv[1:], str(RUNS)][:2]
    main(given_mode, int(given_runs))
