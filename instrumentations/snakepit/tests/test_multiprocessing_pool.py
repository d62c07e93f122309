from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.pool import MaybeEncodingError, Pool, ThreadPool
from pathlib import Path

import pytest
from opentelemetry.instrumentation.snakepit.multiprocessing_pool import MultiprocessingPoolInstrumentor

from assay.instrumentation.testing import wait_until
from assay.telemetry import correlation

sys.path.insert(0, str(Path(__file__).parent))
import commands


@pytest.fixture
def instrumented(telemetry):
    MultiprocessingPoolInstrumentor().instrument()
    yield telemetry
    MultiprocessingPoolInstrumentor().uninstrument()


def fork(workers=1, **options):
    return multiprocessing.get_context("fork").Pool(workers, **options)


def failing():
    yield 1
    raise LookupError("no more")


def outcomes(pool):
    """Return everything that a program sees of each way to submit work."""
    yield pool.apply(commands.double, (4,))
    yield pool.map(commands.double, range(7), 3)
    yield pool.starmap(commands.add, [(1, 2), (3, 4)])
    yield list(pool.imap(commands.double, range(5), 2))
    yield list(pool.imap(commands.double, range(5)))
    yield sorted(pool.imap_unordered(commands.double, range(5)))
    for failure in (
        lambda: pool.apply(commands.fail, ("no",)),
        lambda: pool.map(commands.fail, ["no"]),
        lambda: list(pool.imap(commands.double, failing())),
        lambda: pool.apply(commands.raise_odd, ("odd",)),
    ):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - compared with that of a bare pool
            failure()
        yield type(raised.value), raised.value.args, type(raised.value.__cause__)


@pytest.mark.parametrize("make", [fork, ThreadPool])
def test_a_pool_behaves_as_a_bare_one(telemetry, make):
    with make(2) as pool:
        expected = list(outcomes(pool))
    MultiprocessingPoolInstrumentor().instrument()
    with make(2) as pool:
        assert list(outcomes(pool)) == expected
    MultiprocessingPoolInstrumentor().uninstrument()

    totals = telemetry.totals("snakepit.requests", "status")
    assert totals["error"] == 3
    assert totals["success"] == 1 + 3 + 2 + 3 + 5 + 5 + 1
    assert len(telemetry.spans("snakepit.request")) == totals.total()


def test_a_request_is_in_the_trace_of_its_submitter(instrumented):
    tracer = instrumented.tracer_provider.get_tracer("test")
    with fork() as pool, correlation("order-17"), tracer.start_as_current_span("parent") as parent:
        pool.map(commands.double, range(4), 2)

    requests = instrumented.spans("snakepit.request")
    assert {span.parent.span_id for span in requests} == {parent.get_span_context().span_id}
    assert {span.attributes["snakepit.command"] for span in requests} == {"commands.double"}
    assert {span.attributes["assay.correlation_id"] for span in requests} == {"order-17"}
    assert all(span.attributes["snakepit.worker_id"].startswith("Pool-") for span in requests)


def test_what_a_child_counts_is_counted_once(instrumented):
    with fork(2) as pool:
        pool.map(commands.count_worker, range(10))
        with pytest.raises(MaybeEncodingError):
            pool.apply(commands.make_unpicklable)

    assert instrumented.totals("snakepit.worker.recycled", "reason") == {"test": 10}
    assert instrumented.totals("snakepit.requests", "status")["error"] == 1


def test_a_killed_worker_is_a_crash_that_the_pool_mends(instrumented):
    with fork() as pool:
        pool.apply_async(commands.kill_worker)
        wait_until(lambda: instrumented.logs("snakepit.worker.crash"))
        assert pool.apply(commands.double, (1,)) == 2

    (crash,) = instrumented.logs("snakepit.worker.crash")
    (restarted,) = instrumented.logs("snakepit.worker.restarted")
    assert crash.log_record.attributes["snakepit.reason"] == "SIGKILL"
    worker_id = crash.log_record.attributes["snakepit.worker_id"]
    assert restarted.log_record.attributes["snakepit.worker_id"] == worker_id
    assert instrumented.totals("snakepit.requests", "status") == {"success": 1, "error": 1}
    errors = {span.attributes.get("error.type", "") for span in instrumented.spans("snakepit.request")}
    assert any(each.endswith("WorkerLostError") for each in errors)


def test_a_worker_that_ends_while_the_pool_looks_for_ended_workers_is_reported(telemetry, monkeypatch):
    """The pool takes out a worker that was alive a moment before."""
    original, begun = Pool._join_exited_workers, []

    def kill_first(workers):
        if pools and not begun:
            begun.append(pools[0].apply_async(commands.kill_worker))
            workers[0].join(60)
        return original(workers)

    monkeypatch.setattr(Pool, "_join_exited_workers", staticmethod(kill_first))
    MultiprocessingPoolInstrumentor().instrument()
    pools = []
    try:
        with fork() as pool:
            pools.append(pool)
            # Its result wakes up the thread that looks for ended workers.
            pool.apply(commands.double, (1,))
            wait_until(lambda: telemetry.logs("snakepit.worker.crash"))
    finally:
        MultiprocessingPoolInstrumentor().uninstrument()


def test_recycled_workers_are_counted(instrumented):
    with fork(maxtasksperchild=1) as pool:
        pool.map(commands.double, range(3), 1)
        wait_until(lambda: instrumented.totals("snakepit.worker.recycled", "reason")["max_tasks"] >= 2)

    assert not instrumented.logs("snakepit.worker.crash")


def test_uninstrument_while_work_is_in_flight_gives_the_users_results(telemetry):
    from multiprocessing.pool import ApplyResult, Pool

    before = ApplyResult._set, Pool.apply_async
    MultiprocessingPoolInstrumentor().instrument()
    with fork() as pool:
        results = [pool.apply_async(commands.sleep, (0.05,)) for _ in range(3)]
        MultiprocessingPoolInstrumentor().uninstrument()
        assert [result.get(30) for result in results] == [0.05] * 3
    assert (ApplyResult._set, Pool.apply_async) == before
