from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor

from assay.instrumentation.testing import wait_until
from assay.telemetry import correlation

sys.path.insert(0, str(Path(__file__).parent))
import commands

METHODS = [
    pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")),
    pytest.param("forkserver", marks=pytest.mark.slow),
    pytest.param("spawn", marks=pytest.mark.slow),
]


@pytest.fixture
def instrumented(telemetry):
    FuturesInstrumentor().instrument()
    yield telemetry
    FuturesInstrumentor().uninstrument()


def pool(method="fork", workers=1, **options):
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method), **options)


@pytest.mark.parametrize("method", METHODS)
def test_a_task_is_a_request_from_submission_to_result(instrumented, method):
    tracer = instrumented.tracer_provider.get_tracer("test")
    with pool(method) as executor, correlation("order-17"), tracer.start_as_current_span("parent") as parent:
        assert executor.submit(commands.double, 4).result() == 8

    (request,) = instrumented.spans("snakepit.request")
    assert request.parent.span_id == parent.get_span_context().span_id
    attributes = dict(request.attributes)
    assert attributes.pop("snakepit.request_id")
    assert attributes.pop("snakepit.worker_id").startswith("ProcessPoolExecutor-")
    assert attributes.pop("snakepit.queue_time_ms") > 0
    assert attributes == {
        "snakepit.command": "commands.double",
        "snakepit.pool_name": "ProcessPoolExecutor",
        "snakepit.success": True,
        "snakepit.status": "success",
        "snakepit.correlation_id": "order-17",
        "assay.correlation_id": "order-17",
    }
    assert instrumented.totals("snakepit.requests", "status") == {"success": 1}
    assert instrumented.totals("snakepit.request.queue_time", "pool_name") == {"ProcessPoolExecutor": 1}
    (completed,) = instrumented.logs("snakepit.request.completed")
    assert completed.log_record.attributes["snakepit.success"] is True


def test_an_error_is_the_users_error(instrumented):
    with pool() as executor, pytest.raises(ValueError, match="no") as raised:
        executor.submit(commands.fail, "no").result()

    assert "commands.py" in str(raised.value.__cause__)
    assert "_tasks.py" not in str(raised.value.__cause__)
    (request,) = instrumented.spans("snakepit.request")
    assert request.attributes["error.type"] == "ValueError"
    assert request.attributes["snakepit.success"] is False
    assert instrumented.totals("snakepit.requests", "status") == {"error": 1}


@pytest.mark.parametrize("method", METHODS)
def test_what_a_child_counts_is_counted_once(instrumented, method):
    with pool(method, 2) as executor:
        list(executor.map(commands.count_worker, range(10)))
        with pytest.raises(Exception, match=r"lambda|local object"):
            executor.submit(commands.make_unpicklable).result()

    assert instrumented.totals("snakepit.worker.recycled", "reason") == {"test": 10}


def test_measurements_beside_a_result_that_cannot_be_pickled_arrive_with_the_next(instrumented):
    with pool() as executor:
        with pytest.raises(Exception, match=r"lambda|local object"):
            executor.submit(commands.count_and_fail_to_return, "w").result()
        executor.submit(commands.double, 1).result()

    assert instrumented.totals("snakepit.worker.recycled", "reason") == {"test": 1}


def test_a_killed_worker_is_a_crash_and_a_new_pool_mends_it(instrumented):
    with pool() as executor:
        executor.submit(commands.count_worker, "w").result()
        killed = executor.submit(commands.kill_worker)
        with pytest.raises(BrokenProcessPool):
            killed.result()
        with pytest.raises(BrokenProcessPool):
            executor.submit(commands.double, 1)
    (crash,) = instrumented.logs("snakepit.worker.crash")
    attributes = crash.log_record.attributes
    assert attributes["snakepit.reason"] == "SIGKILL"
    assert attributes["snakepit.error_class"] == "worker"
    assert attributes["error.type"] == "concurrent.futures.process.BrokenProcessPool"
    assert not instrumented.logs("snakepit.worker.restarted")

    with pool() as executor:
        executor.submit(commands.double, 1).result()
    (restarted,) = instrumented.logs("snakepit.worker.restarted")
    for key in ("snakepit.worker_id", "assay.correlation_id"):
        assert restarted.log_record.attributes[key] == attributes[key]
    assert instrumented.totals("snakepit.requests", "status") == {"success": 2, "error": 2}
    assert instrumented.totals("snakepit.worker.recycled", "reason") == {"test": 1}


def test_a_worker_that_is_killed_while_idle_is_a_crash(instrumented):
    with pool() as executor:
        os.kill(executor.submit(commands.process_id).result(), signal.SIGKILL)

        def is_refused():
            try:
                executor.submit(commands.double, 1).exception()
            except BrokenProcessPool:
                return True
            return False

        wait_until(is_refused)
    (crash,) = instrumented.logs("snakepit.worker.crash")
    assert crash.log_record.attributes["snakepit.reason"] == "SIGKILL"


def test_a_worker_that_is_killed_while_the_executor_stops_the_others_is_a_crash_too(instrumented):
    meeting = multiprocessing.get_context("fork").Barrier(2)
    with pool("fork", 2, initializer=commands.prepare_to_meet, initargs=(meeting,)) as executor:
        first, second = [each.result() for each in [executor.submit(commands.meet) for _ in range(2)]]
        working = executor.submit(commands.sleep, 60)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            working.result(60)
        os.kill(second, signal.SIGKILL)
    crashes = [each.log_record.attributes for each in instrumented.logs("snakepit.worker.crash")]
    assert [each["snakepit.reason"] for each in crashes] == ["SIGKILL"] * 2
    workers = [f"ProcessPoolExecutor-{process}" for process in (first, second)]
    assert [each["snakepit.worker_id"] for each in crashes] == workers


@pytest.mark.skipif(sys.version_info < (3, 11), reason="from Python 3.11")
@pytest.mark.slow
def test_recycled_workers_are_counted(instrumented):
    with pool("spawn", max_tasks_per_child=2) as executor:
        for _ in range(5):
            executor.submit(commands.double, 1).result()

    assert instrumented.totals("snakepit.worker.recycled", "reason") == {"max_tasks": 2}
    assert not instrumented.logs("snakepit.worker.crash")


def test_a_cancelled_request_is_neither_success_nor_error(instrumented):
    with pool() as executor:
        running = executor.submit(commands.sleep, 0.2)
        queued = [executor.submit(commands.double, number) for number in range(5)]
        assert queued[-1].cancel()
        assert running.result() == 0.2

    assert instrumented.totals("snakepit.requests", "status") == {"success": 5, "canceled": 1}


def test_gauges_show_the_pool_at_each_collection(instrumented):
    with pool() as executor:
        first = executor.submit(commands.sleep, 0.3)
        rest = [executor.submit(commands.double, number) for number in range(3)]
        busy = {
            name: instrumented.totals(f"snakepit.pool.{name}", "pool_name")["ProcessPoolExecutor"]
            for name in ("busy_workers", "available_workers", "queue_size")
        }
        for future in (first, *rest):
            future.result()
    assert busy == {"busy_workers": 1, "available_workers": 0, "queue_size": 3}


def test_chunks_of_map_are_requests_of_the_users_function(instrumented):
    with pool() as executor:
        assert list(executor.map(commands.double, range(10), chunksize=5)) == [2 * n for n in range(10)]

    requests = instrumented.spans("snakepit.request")
    assert [span.attributes["snakepit.command"] for span in requests] == ["commands.double"] * 2


def test_work_that_cannot_be_pickled_fails_as_before(instrumented):
    with pool() as executor, pytest.raises(Exception, match="pickle"):
        executor.submit(lambda: 1).result()

    assert instrumented.totals("snakepit.requests", "status") == {"error": 1}


def test_uninstrument_while_work_is_in_flight_gives_the_users_results(telemetry):
    from concurrent.futures import Future

    before = Future.set_result, ProcessPoolExecutor.submit
    FuturesInstrumentor().instrument()
    with pool() as executor:
        futures = [executor.submit(commands.sleep, 0.05) for _ in range(4)]
        FuturesInstrumentor().uninstrument()
        assert [future.result() for future in futures] == [0.05] * 4
    assert (Future.set_result, ProcessPoolExecutor.submit) == before


def test_callbacks_get_the_future_with_the_users_result(instrumented):
    seen, done = [], threading.Event()
    with pool() as executor:
        future = executor.submit(commands.double, 2)
        future.add_done_callback(lambda finished: (seen.append((finished, finished.result())), done.set()))
        assert done.wait(30)
    assert seen == [(future, 4)]


def test_hooks_get_the_function_and_its_result(telemetry):
    def before(span, function, args):
        span.set_attribute("shop.function", f"{function.__name__}{args}")

    def after(span, function, args, result):
        span.set_attribute("shop.result", result)

    FuturesInstrumentor().instrument(request_hook=before, response_hook=after)
    with pool() as executor:
        executor.submit(commands.double, 2).result()
    FuturesInstrumentor().uninstrument()

    (request,) = telemetry.spans("snakepit.request")
    assert request.attributes["shop.function"] == "double(2,)"
    assert request.attributes["shop.result"] == 4
