"""The instrumentor of loky."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any

from opentelemetry.instrumentation.snakepit._gauges import observe_pools
from opentelemetry.instrumentation.snakepit._hooks import HOOK_POINTS
from opentelemetry.instrumentation.snakepit._results import RESULT_PATCH
from opentelemetry.instrumentation.snakepit.futures._processes import STOPPED, ProcessPools
from opentelemetry.instrumentation.snakepit.instrumentor import SNAKEPIT

from assay.instrumentation import Hooks, LibraryInstrumentor, Patches, RelayReceiver, Target

LOKY = "loky.process_executor"
JOBLIB = "joblib.externals.loky.process_executor"
"""The copy that joblib contains."""
KILLED = STOPPED | {-signal.SIGKILL}
"""The exit codes of the workers that loky stops."""


class LokyInstrumentor(LibraryInstrumentor):
    """Makes the executors of loky, and of the loky in joblib, emit Snakepit's bus events.

    Args (of `instrument`): as `FuturesInstrumentor`.
    """

    subsystem = SNAKEPIT
    hook_points = HOOK_POINTS

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch the executors when the program imports them."""
        observe_pools(self.meter_provider)
        pools = ProcessPools(self, hooks, Carry(LOKY), KILLED)
        patches.wrap(Target(LOKY, "ProcessPoolExecutor.submit"), pools.submit)
        patches.wrap(Target(LOKY, "ProcessPoolExecutor.shutdown"), pools.shutdown)
        copies = ProcessPools(self, hooks, Carry(JOBLIB), KILLED)
        patches.wrap(Target(JOBLIB, "ProcessPoolExecutor.submit"), copies.submit)
        patches.wrap(Target(JOBLIB, "ProcessPoolExecutor.shutdown"), copies.shutdown)
        RESULT_PATCH.acquire(RelayReceiver(self.meter_provider))

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        super()._uninstrument(**kwargs)
        RESULT_PATCH.release()


@dataclass(frozen=True)
class Carry:
    """Makes the object that loky sends for an exception.

    Args:
        module: The module of the executor.
    """

    module: str

    def __call__(self, error: BaseException, trace_back: TracebackType | None) -> object:
        """Return the object, so that the exception arrives as it would without us."""
        library = import_module(self.module)
        return library._ExceptionWithTraceback(error.with_traceback(trace_back))  # noqa: SLF001 - no public name
