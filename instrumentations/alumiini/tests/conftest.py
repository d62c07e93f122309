"""A process's OpenTelemetry in memory with ALUMIINI's events instrumented, and a Kubernetes API server."""

import os

import pytest
from opentelemetry.instrumentation.alumiini import AlumiiniInstrumentor

from assay.instrumentation.testing import InMemoryTelemetry
from assay.instrumentation.testing.kubernetes import ApiServer, ApiServerNotFoundError, find_api_server


@pytest.fixture
def telemetry():
    """Return the telemetry of everything that is emitted while the test runs."""
    with InMemoryTelemetry() as sdk:
        AlumiiniInstrumentor().instrument(**sdk.providers)
        yield sdk
        AlumiiniInstrumentor().uninstrument()


@pytest.fixture(scope="session")
def api_server(tmp_path_factory, unlimited_memory):
    """Return a real Kubernetes API server; the first run builds it, which takes minutes."""
    try:
        with unlimited_memory():
            binary = find_api_server()
    except ApiServerNotFoundError as error:
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {error}")
        pytest.skip(str(error))
    with ApiServer(binary, tmp_path_factory.mktemp("kubernetes")) as server:
        yield server
