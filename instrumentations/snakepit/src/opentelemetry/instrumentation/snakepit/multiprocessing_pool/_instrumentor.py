"""The instrumentor of `multiprocessing.Pool`."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.snakepit._gauges import observe_pools
from opentelemetry.instrumentation.snakepit._hooks import HOOK_POINTS
from opentelemetry.instrumentation.snakepit._pending import when_idle
from opentelemetry.instrumentation.snakepit.instrumentor import SNAKEPIT
from opentelemetry.instrumentation.snakepit.multiprocessing_pool._jobs import Jobs
from opentelemetry.instrumentation.snakepit.multiprocessing_pool._workers import close, join_exited, terminate

from assay.instrumentation import Hooks, LibraryInstrumentor, Patches, RelayReceiver, Target

_MODULE = "multiprocessing.pool"


class MultiprocessingPoolInstrumentor(LibraryInstrumentor):
    """Makes `multiprocessing.Pool` and `ThreadPool` emit Snakepit's bus events.

    Args (of `instrument`): as `FuturesInstrumentor`.
    """

    subsystem = SNAKEPIT
    hook_points = HOOK_POINTS

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch the pools, and the objects that receive their results."""
        observe_pools(self.meter_provider)
        jobs = Jobs(self, hooks, RelayReceiver(self.meter_provider))
        patches.wrap(Target(_MODULE, "Pool.apply_async"), jobs.apply_async)
        patches.wrap(Target(_MODULE, "Pool._guarded_task_generation"), jobs.generate)
        patches.wrap(Target(_MODULE, "Pool._join_exited_workers"), join_exited)
        patches.wrap(Target(_MODULE, "Pool.close"), close)
        patches.wrap(Target(_MODULE, "Pool.terminate"), terminate)
        # Apart from the others: work in flight needs them after `uninstrument`.
        self._results = Patches()
        self._results.wrap(Target(_MODULE, "ApplyResult._set"), jobs.take_apart)
        self._results.wrap(Target(_MODULE, "MapResult._set"), jobs.take_apart)
        self._results.wrap(Target(_MODULE, "IMapIterator._set"), jobs.take_apart)
        self._results.wrap(Target(_MODULE, "IMapUnorderedIterator._set"), jobs.take_apart)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        super()._uninstrument(**kwargs)
        when_idle(self._results.restore)
