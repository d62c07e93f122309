"""loky and joblib, whose executors are not those of `concurrent.futures`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import loky
import pytest
from joblib import Parallel, delayed
from joblib.externals import loky as joblibs_loky
from opentelemetry.instrumentation.snakepit.loky import LokyInstrumentor

sys.path.insert(0, str(Path(__file__).parent))
import commands

EXECUTORS = [
    pytest.param(loky.ProcessPoolExecutor, id="loky"),
    pytest.param(joblibs_loky.process_executor.ProcessPoolExecutor, id="joblib"),
]

pytestmark = pytest.mark.slow  # loky starts each worker as a program of its own


@pytest.fixture
def instrumented(telemetry):
    LokyInstrumentor().instrument()
    yield telemetry
    LokyInstrumentor().uninstrument()


def outcomes(executor):
    """Return everything that a program sees of an executor's results and errors."""
    yield executor.submit(commands.double, 4).result(60)
    yield list(executor.map(commands.double, range(5)))
    for work in ((commands.fail, "no"), (commands.raise_odd, "odd"), (commands.raise_from, "x")):
        error = executor.submit(*work).exception(60)
        yield type(error), error.args, type(error.__cause__), "_tasks.py" in str(error.__cause__)


@pytest.mark.parametrize("make", EXECUTORS)
def test_an_executor_behaves_as_a_bare_one(telemetry, make):
    with make(1) as executor:
        expected = list(outcomes(executor))
    LokyInstrumentor().instrument()
    with make(1) as executor:
        assert list(outcomes(executor)) == expected
        executor.submit(commands.count_worker, "w").result(60)
    LokyInstrumentor().uninstrument()

    assert telemetry.totals("snakepit.requests", "status") == {"success": 7, "error": 3}
    assert telemetry.totals("snakepit.worker.recycled", "reason") == {"test": 1}
    assert all(
        span.attributes["snakepit.queue_time_ms"] > 0 for span in telemetry.spans("snakepit.request")[:6]
    )
    assert not telemetry.logs("snakepit.worker.crash")


@pytest.mark.parametrize("make", EXECUTORS)
def test_a_killed_worker_is_a_crash_and_those_that_the_executor_kills_are_not(instrumented, make):
    with make(2) as executor:
        executor.submit(commands.double, 1).result(60)
        assert "unexpectedly" in str(executor.submit(commands.kill_worker).exception(60))
    (crash,) = instrumented.logs("snakepit.worker.crash")
    assert crash.log_record.attributes["snakepit.reason"] == "SIGKILL"
    assert instrumented.totals("snakepit.requests", "status") == {"success": 1, "error": 1}


def test_batches_of_joblib_are_requests_of_the_users_function(instrumented):
    try:
        results = Parallel(n_jobs=2, batch_size=1)(delayed(commands.double)(n) for n in range(9))
    finally:
        joblibs_loky.get_reusable_executor().shutdown(wait=True)
    assert results == [2 * n for n in range(9)]
    requests = instrumented.spans("snakepit.request")
    assert Counter(span.attributes["snakepit.command"] for span in requests) == {"commands.double": 9}
