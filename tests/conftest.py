"""What every test that crosses packages may ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.errors import CollectorNotFoundError
from assay.cli._collector.process import Addresses
from assay.cli._collector.sources import find_collector


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], None]:
    """What a test does that lacks a service: it skips, or fails where `ASSAY_REQUIRE_SERVICES=1` says so."""

    def act(reason: str) -> None:
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {reason}")
        pytest.skip(reason)

    return act


@pytest.fixture(scope="session")
def collector_binary(skip_or_fail, pytestconfig) -> CollectorBinary | None:
    """A real Collector: one that is here, else built, which takes minutes and says so as it goes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def report(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n{line}")
            sys.stderr.flush()

    try:
        return find_collector("require", report=report)
    except CollectorNotFoundError as error:
        skip_or_fail(str(error))


@pytest.fixture
def addresses() -> Addresses:
    """Loopback addresses for a Collector, with ports that are free."""
    return Addresses.free()
