"""Fixtures of the registry's tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def registry():
    return ROOT / "semconv" / "registry"


@pytest.fixture(scope="session")
def shared():
    """Return the folder of designs and schemas beside the checkout."""
    if not SHARED.is_dir():
        reason = f"{SHARED} is absent: designs and schemas are beside a checkout, not in it"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED
