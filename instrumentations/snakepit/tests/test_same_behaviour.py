"""An instrumented pool does what a bare one does, with whatever work."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor

sys.path.insert(0, str(Path(__file__).parent))
import commands

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
WORK = st.one_of(
    st.tuples(st.just(commands.echo), VALUES),
    st.tuples(st.just(commands.raise_named), st.sampled_from(sorted(commands.ERRORS))),
    st.tuples(st.just(commands.raise_odd), st.text(max_size=5)),
    st.tuples(st.just(commands.make_unpicklable)),
    st.tuples(st.just(int), st.text(max_size=3)),
    st.tuples(st.just(commands.raise_from), st.text(max_size=5)),
)
SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(future):
    """Return the value of a future, or everything that a program can see of its exception."""
    error = future.exception()
    if error is None:
        value = future.result()
        return "result", type(value), None if callable(value) else value
    return "error", type(error), error.args, type(error.__cause__), str(error.__context__)


def in_thread_pool(work):
    with ThreadPoolExecutor(2) as executor:
        return [outcome(future) for future in [executor.submit(*each) for each in work]]


def in_process_pool(work):
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        return [outcome(future) for future in [executor.submit(*each) for each in work]]


@pytest.mark.parametrize("run", [in_thread_pool, pytest.param(in_process_pool, marks=pytest.mark.slow)])
def test_random_work_has_the_same_outcome(telemetry, run):
    @SETTINGS
    @given(st.lists(WORK, max_size=6))
    def check(work):
        FuturesInstrumentor().instrument()
        try:
            instrumented = run(work)
        finally:
            FuturesInstrumentor().uninstrument()
        assert instrumented == run(work)

    check()
    assert telemetry.points("snakepit.requests")
