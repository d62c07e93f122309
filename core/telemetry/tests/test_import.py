"""What importing the package loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (
            "assay.telemetry",
            ["assay.semconv", "assay.telemetry._bridge", "opentelemetry.sdk", "opentelemetry.metrics"],
        ),
        (
            "assay.telemetry.bridge",
            ["assay.semconv._generated.catalogue", "assay.semconv.registry", "opentelemetry.sdk"],
        ),
    ],
)
def test_it_loads_no_more_than_it_needs(module, absent):
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = json.loads(done.stdout)
    assert module in loaded
    assert [name for name in loaded if any(name == one or name.startswith(f"{one}.") for one in absent)] == []
