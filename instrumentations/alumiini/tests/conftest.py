"""A process's OpenTelemetry in memory, with ALUMIINI's events instrumented."""

import pytest
from opentelemetry.instrumentation.alumiini import AlumiiniInstrumentor

from assay.instrumentation.testing import InMemoryTelemetry


@pytest.fixture
def telemetry():
    """Return the telemetry of everything that is emitted while the test runs."""
    with InMemoryTelemetry() as sdk:
        AlumiiniInstrumentor().instrument(**sdk.providers)
        yield sdk
        AlumiiniInstrumentor().uninstrument()
