"""The instrumentor of `concurrent.futures`."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.snakepit._gauges import observe_pools
from opentelemetry.instrumentation.snakepit._hooks import HOOK_POINTS
from opentelemetry.instrumentation.snakepit._results import RESULT_PATCH
from opentelemetry.instrumentation.snakepit.futures._processes import ProcessPools
from opentelemetry.instrumentation.snakepit.futures._threads import ThreadPools
from opentelemetry.instrumentation.snakepit.instrumentor import SNAKEPIT

from assay.instrumentation import Hooks, LibraryInstrumentor, Patches, RelayReceiver, Target


class FuturesInstrumentor(LibraryInstrumentor):
    """Makes the executors of `concurrent.futures` emit Snakepit's bus events.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones, unless
            `SnakepitInstrumentor` has been instrumented with others.
        request_hook: `hook(span, function, args)`, called when the span of a request has started.
        response_hook: `hook(span, function, args, result)`, called before it ends. `result` is the exception
            if the request failed.
    """

    subsystem = SNAKEPIT
    hook_points = HOOK_POINTS

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch the executors."""
        observe_pools(self.meter_provider)
        threads = ThreadPools(hooks)
        patches.wrap(Target("concurrent.futures.thread", "ThreadPoolExecutor.submit"), threads.submit)
        patches.wrap(Target("concurrent.futures.thread", "ThreadPoolExecutor.shutdown"), threads.shutdown)
        processes = ProcessPools(self, hooks)
        patches.wrap(Target("concurrent.futures.process", "ProcessPoolExecutor.submit"), processes.submit)
        patches.wrap(Target("concurrent.futures.process", "ProcessPoolExecutor.shutdown"), processes.shutdown)
        RESULT_PATCH.acquire(RelayReceiver(self.meter_provider))

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        super()._uninstrument(**kwargs)
        RESULT_PATCH.release()
