"""A process's OpenTelemetry in memory, with Snakepit's events instrumented."""

import gc
import signal

import pytest
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit._pools import POOLS

from assay.instrumentation.testing import InMemoryTelemetry


@pytest.fixture
def telemetry():
    """Return the telemetry of everything that is emitted while the test runs."""
    POOLS.forget()
    with InMemoryTelemetry() as sdk:
        SnakepitInstrumentor().instrument(**sdk.providers)
        yield sdk
        SnakepitInstrumentor().uninstrument()


@pytest.fixture(autouse=True)
def _children_end_with_sigterm():
    """Restore the default action, by which pools end their workers: another library may have replaced it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True, scope="module")
def _no_foreign_garbage():
    """Collect the garbage of other packages' tests, which a forked child must not finalize."""
    gc.collect()
