"""The library `cart`, its instrumentation, and a bus that is clean after each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assay.instrumentation import guard
from assay.instrumentation.testing import InMemoryTelemetry
from assay.telemetry import bridge

PROJECTS = Path(__file__).parent / "projects"


@pytest.fixture(autouse=True)
def projects(monkeypatch):
    """Make the library and its instrumentation importable; each test imports them anew."""
    monkeypatch.syspath_prepend(str(PROJECTS))
    monkeypatch.setattr(guard, "_reported", set())
    monkeypatch.setattr(bridge, "_relay", None)  # a process that relays does so until it ends
    yield PROJECTS
    for name in ("cart", "shop_instrumentation"):
        sys.modules.pop(name, None)


@pytest.fixture
def cart():
    """Return the library."""
    import cart

    return cart


@pytest.fixture
def shop():
    """Return the library's instrumentation; nothing of it is left when the test ends."""
    import shop_instrumentation as found

    yield found
    for instrumentor in (
        found.CartInstrumentor(),
        found.SecondInstrumentor(),
        found.ShopInstrumentor(),
        found.DepotInstrumentor(),
    ):
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()


@pytest.fixture
def sdk():
    """Return providers that keep everything in memory."""
    with InMemoryTelemetry() as found:
        yield found


@pytest.fixture
def other_sdk():
    """Return another set of providers."""
    with InMemoryTelemetry() as found:
        yield found
