"""Child processes: instrumented as their parent is, and flushed before they exit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.metrics import get_meter_provider

FLUSH_TIMEOUT_MS = 5000
_FIRST = 100
"""Before the finalizers of multiprocessing itself, which run from the highest priority to the lowest."""


class Establish(Protocol):
    """Instruments a child process, if it is not yet. Can be pickled."""

    def __call__(self, *, auto: bool) -> object:
        """Do so.

        Args:
            auto: The parent is auto-instrumented.
        """


def is_auto() -> bool:
    """Return whether `opentelemetry-instrument` started this process."""
    sitecustomize = sys.modules.get("sitecustomize")
    return "auto_instrumentation" in str(getattr(sitecustomize, "__file__", ""))


def start_run(establish: Establish, original: Callable[..., Any], auto: bool, *args: Foreign) -> Foreign:  # noqa: FBT001 - bound by `partial`
    """Be `start_run_in_subprocess`: the process in which a code server runs a job."""
    establish(auto=auto)
    flush_at_exit(metrics=True)
    return original(*args)


@guarded
def flush_at_exit(*, metrics: bool) -> None:
    """Export what is still in the processors before this process exits: multiprocessing skips atexit."""
    from multiprocessing.util import Finalize  # noqa: PLC0415 - only in a child process

    Finalize(None, _flush, kwargs={"metrics": metrics}, exitpriority=_FIRST)


def _flush(*, metrics: bool) -> None:
    providers: list[object] = [trace.get_tracer_provider(), get_logger_provider()]
    if metrics:
        providers.append(get_meter_provider())
    for provider in providers:
        _flush_provider(provider)


@guarded
def _flush_provider(provider: Foreign) -> None:
    flush = getattr(provider, "force_flush", None)
    if flush is not None:
        flush(FLUSH_TIMEOUT_MS)
