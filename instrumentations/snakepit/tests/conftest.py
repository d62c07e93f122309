"""A process's OpenTelemetry in memory, with Snakepit's events instrumented."""

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
