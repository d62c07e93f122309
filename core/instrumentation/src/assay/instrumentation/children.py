"""Child processes: instrumented as their parent is, joined to its trace, and flushed before they exit.

A child of multiprocessing, whatever its start method:

```python
process = multiprocessing.Process(target=ChildTarget(work, CartInstrumentor()), args=(order,))
```

Where a library starts its processes in another way, such as with a command that it pickles, set the child up
in
two steps: `setup = prepare_child(CartInstrumentor())` in the parent, `setup.apply()` in the child.

A child that executes another program gets its parent's context in its environment (OpenTelemetry's
environment carriers TRACEPARENT, TRACESTATE and BAGGAGE, and ASSAY_CORRELATION_ID):

```python
subprocess.run(command, env=prepare_child(CartInstrumentor()).environment())
```

Under `opentelemetry-instrument` that program joins the trace by itself. Otherwise it calls `join_parent()`
once it has set up OpenTelemetry.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.metrics import get_meter_provider
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assay.instrumentation.foreign import Foreign
from assay.instrumentation.guard import guarded
from assay.instrumentation.instrumentors import LibraryInstrumentor
from assay.telemetry.ambient import correlation_id as ambient_correlation_id
from assay.telemetry.correlation import VARIABLE as CORRELATION_VARIABLE

FLUSH_TIMEOUT = 5.0
"""Seconds that the exit of a child waits for its exports."""
CARRIERS = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
"""The environment variables that carry the parent's context (specification, "Environment Variables as Context
Propagation Carriers")."""
CHILD_VARIABLE = "ASSAY_CHILD"

_FIRST = 100
"""Before the finalizers of multiprocessing itself, which run from the highest priority to the lowest."""
# Always W3C's formats: a parent and its child need not agree on a propagator for requests to others.
_propagator = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@dataclass(frozen=True, slots=True)
class ChildSetup:
    """The parent's part of a child process's telemetry. It can be pickled.

    Args:
        carriers: The parent's trace context and baggage, by environment variable.
        correlation_id: Correlation id of the child's events, unless the baggage has one.
        instrumentors: The instrumentors of the libraries that the child uses, each as `module:Class`, with
            the references of their hooks.
        hook_variables: The same hooks by environment variable.
        is_auto: `opentelemetry-instrument` has started the parent.
    """

    carriers: Mapping[str, str]
    correlation_id: str | None
    instrumentors: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    hook_variables: Mapping[str, str] = field(default_factory=dict[str, str])
    is_auto: bool = False

    def apply(self, *, metrics: bool = True) -> None:
        """Set this child process up: instrument it, join the trace, and flush at exit. It raises nothing.

        Args:
            metrics: Flush metrics too; not where the child relays its measurements.
        """
        if self.is_auto and not is_auto_instrumented():
            _auto_instrument()
        for reference, hooks in self.instrumentors.items():
            _instrument(reference, hooks)
        join(self.carriers, self.correlation_id)
        flush_at_exit(metrics=metrics)

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a child process that executes another program.

        Args:
            variables: The environment to extend; None is this process's own.
        """
        inherited = os.environ if variables is None else variables
        environment = {key: value for key, value in inherited.items() if key not in CARRIERS}
        environment.update(self.carriers)
        environment.update(self.hook_variables)
        environment[CHILD_VARIABLE] = "1"
        if self.correlation_id is not None:
            environment[CORRELATION_VARIABLE] = self.correlation_id
        return environment


class ChildTarget:
    """A target for `multiprocessing.Process` that sets up its child before it calls a function.

    Args:
        function: The function that the child calls.
        instrumentors: The instrumentors of the libraries that the child uses.
    """

    def __init__(self, function: Callable[..., Any], *instrumentors: LibraryInstrumentor) -> None:
        self._function = function
        self._instrumentors = instrumentors

    def __call__(self, *args: Foreign, **kwargs: Foreign) -> Foreign:
        """Set up a forked child, which has inherited its parent's context, and call the function."""
        return _run_in_child(prepare_child(*self._instrumentors), self._function, *args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Prepare a child that does not fork: multiprocessing pickles its target when it starts the child."""
        return _PreparedTarget, (prepare_child(*self._instrumentors), self._function)


class _PreparedTarget:
    """A `ChildTarget` in the child."""

    def __init__(self, setup: ChildSetup, function: Callable[..., Any]) -> None:
        self._setup = setup
        self._function = function

    def __call__(self, *args: Foreign, **kwargs: Foreign) -> Foreign:
        return _run_in_child(self._setup, self._function, *args, **kwargs)


def prepare_child(*instrumentors: LibraryInstrumentor, correlation_id: str | None = None) -> ChildSetup:
    """Return the set-up of a child process that is started now.

    Args:
        instrumentors: The instrumentors of the libraries that the child uses.
        correlation_id: Correlation id of the child's events; None is the current one, if there is one.
    """
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    hook_variables: dict[str, str] = {}
    for instrumentor in instrumentors:
        hook_variables.update(instrumentor.hooks.variables())
    return ChildSetup(
        {key.upper(): value for key, value in carrier.items()},
        ambient_correlation_id.get() if correlation_id is None else correlation_id,
        {_reference(one): one.hooks.references() for one in instrumentors},
        hook_variables,
        is_auto_instrumented(),
    )


@guarded
def join(carriers: Mapping[str, str], correlation_id: str | None = None) -> None:
    """Make a parent's trace context, baggage and correlation id current in this process.

    Args:
        carriers: The context, by the names of the environment variables.
        correlation_id: The correlation id; None leaves the one that is current.
    """
    carrier = {name.lower(): carriers[name] for name in CARRIERS if name in carriers}
    if carrier:
        otel_context.attach(_propagator.extract(carrier, otel_context.get_current()))
    if correlation_id is not None:
        ambient_correlation_id.set(correlation_id)


def join_parent() -> None:
    """Join the trace of this process's environment. The bus reads the correlation id there itself."""
    join(os.environ)


def join_parent_if_asked() -> None:
    """Join the parent's trace if the parent has asked for it (ASSAY_CHILD).

    OpenTelemetry's loader calls it (entry point group `opentelemetry_post_instrument`). A long-lived program
    that merely inherits TRACEPARENT from a shell does not become part of that trace.
    """
    if os.environ.get(CHILD_VARIABLE) == "1":
        join_parent()


def is_auto_instrumented() -> bool:
    """Return whether `opentelemetry-instrument` has started this process, or a parent that forked it."""
    sitecustomize = sys.modules.get("sitecustomize")
    return "auto_instrumentation" in str(getattr(sitecustomize, "__file__", ""))


@guarded
def flush_at_exit(*, metrics: bool = True, timeout: float = FLUSH_TIMEOUT) -> None:
    """Flush the providers when this child process exits.

    Args:
        metrics: Flush metrics too.
        timeout: Seconds that it may take; telemetry that is not exported by then is lost.
    """

    def flush_bounded() -> None:
        flush(metrics=metrics, timeout=timeout)

    if not _is_multiprocessing_child():
        atexit.register(flush_bounded)
        return
    from multiprocessing.util import Finalize  # noqa: PLC0415 - only in children of multiprocessing

    # They skip atexit.
    Finalize(None, flush_bounded, exitpriority=_FIRST)


def flush(*, metrics: bool = True, timeout: float = FLUSH_TIMEOUT) -> bool:
    """Flush the global providers.

    Args:
        metrics: Flush metrics too.
        timeout: Seconds that it may take.

    Returns:
        Whether the flush ended in time.
    """
    providers: list[object] = [trace.get_tracer_provider(), get_logger_provider()]
    if metrics:
        providers.append(get_meter_provider())

    def flush_all() -> None:
        for provider in providers:
            _flush_provider(provider, timeout)

    # In a thread: the SDK's batch processors ignore the timeout of `force_flush`.
    thread = threading.Thread(target=flush_all, name="assay-flush", daemon=True)
    thread.start()
    thread.join(timeout)
    return not thread.is_alive()


@guarded
def _flush_provider(provider: Foreign, timeout: float) -> None:
    force_flush = getattr(provider, "force_flush", None)
    if force_flush is not None:
        force_flush(int(timeout * 1000))


@guarded
def _auto_instrument() -> None:
    """Auto-instrument this process: not every version of OpenTelemetry does so for spawned children."""
    from opentelemetry.instrumentation.auto_instrumentation import (  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]
        initialize,
    )

    initialize()


@guarded
def _instrument(reference: str, hooks: Mapping[str, str]) -> None:
    module, _, name = reference.partition(":")
    instrumentor: LibraryInstrumentor = getattr(import_module(module), name)()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument()
    instrumentor.hooks.adopt(hooks)


def _reference(instrumentor: LibraryInstrumentor) -> str:
    return f"{type(instrumentor).__module__}:{type(instrumentor).__qualname__}"


def _is_multiprocessing_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _run_in_child(
    setup: ChildSetup, function: Callable[..., Any], *args: Foreign, **kwargs: Foreign
) -> Foreign:
    setup.apply()
    return function(*args, **kwargs)
