"""Unchanged programs under `opentelemetry-instrument`, exporting to a real receiver."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from assay.instrumentation.testing import OTLPReceiver, clean_environment, run_instrumented

TESTS = Path(__file__).parent
METHODS = [
    pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")),
    "spawn",
    "forkserver",
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_program_with_a_pool_is_one_trace_for_each_request(method):
    with OTLPReceiver() as receiver:
        done = run_instrumented(
            "python",
            TESTS / "projects" / "service.py",
            method,
            environment=clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                OTEL_METRICS_EXPORTER="none",
                PYTHONPATH=str(TESTS),
            ),
            folder=TESTS,
            timeout=120,
        )
    assert (done.returncode, done.stdout) == (0, "12\n"), done.stderr
    assert "Traceback" not in done.stderr
    requests = receiver.spans("snakepit.request")
    calls = receiver.spans("snakepit.python.call")
    assert len(requests) == len(calls) == 8
    assert Counter(span.parent_span_id for span in calls) == Counter(span.span_id for span in requests)
