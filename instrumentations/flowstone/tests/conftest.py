"""A process's OpenTelemetry in memory, with FlowStone's events and Dagster instrumented."""

from dataclasses import dataclass

import pytest
from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

from assay.instrumentation.testing import BusEvents, InMemoryTelemetry


@dataclass
class Telemetry:
    """The bus events, and the telemetry that the SDK exported for them."""

    emitted: BusEvents
    sdk: InMemoryTelemetry

    def named(self, name):
        """Return the finished spans of that name."""
        return self.sdk.spans(name)

    def spans(self):
        """Return all finished spans."""
        return self.sdk.spans()

    def events(self, name):
        """Return the metadata of the bus events of that name."""
        return self.emitted.metadata(name)

    def measured(self, name):
        """Return the measurements of the bus events of that name."""
        return self.emitted.measurements(name)

    def points(self, metric):
        """Return the data points of an instrument."""
        return self.sdk.points(metric)

    def counts(self, metric, label="asset"):
        """Return an instrument's values, or a histogram's counts, by label."""
        return self.sdk.totals(metric, label)


@pytest.fixture
def telemetry():
    """Return the telemetry of everything that is emitted while the test runs."""
    with InMemoryTelemetry() as sdk, BusEvents("flowstone.*") as emitted:
        FlowstoneInstrumentor().instrument(**sdk.providers)
        yield Telemetry(emitted, sdk)
        FlowstoneInstrumentor().uninstrument()


@pytest.fixture
def dagster_telemetry(telemetry):
    """Return the same, with Dagster instrumented."""
    DagsterInstrumentor().instrument()
    yield telemetry
    DagsterInstrumentor().uninstrument()
