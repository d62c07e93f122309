from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.snakepit import name_pool
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation

from assay.instrumentation.testing import wait_until
from assay.telemetry import correlation
from assay.telemetry.correlation import current

sys.path.insert(0, str(Path(__file__).parent))
import commands


@pytest.fixture
def instrumented(telemetry):
    FuturesInstrumentor().instrument()
    yield telemetry
    FuturesInstrumentor().uninstrument()


def test_a_task_is_one_trace_with_its_submitter(instrumented):
    tracer = instrumented.tracer_provider.get_tracer("test")

    def work():
        with tracer.start_as_current_span("inside"):
            return current()

    with (
        ThreadPoolExecutor(1, "model") as executor,
        correlation("order-17"),
        tracer.start_as_current_span("parent") as parent,
    ):
        assert executor.submit(work).result() == "order-17"
        assert trace.get_current_span() is parent

    (request,) = instrumented.spans("snakepit.request")
    (call,) = instrumented.spans("snakepit.python.call")
    (inside,) = instrumented.spans("inside")
    assert request.parent.span_id == parent.get_span_context().span_id
    assert call.parent.span_id == request.context.span_id
    assert inside.parent.span_id == call.context.span_id
    assert request.attributes["snakepit.pool_name"] == "model"
    assert request.attributes["snakepit.worker_id"] == "model_0"
    assert request.attributes["snakepit.command"].endswith("<locals>.work")


def test_the_context_of_a_thread_is_restored(instrumented):
    with ThreadPoolExecutor(1) as executor:
        executor.submit(commands.double, 1).result()
        with suppress_instrumentation():
            seen = executor.submit(lambda: (trace.get_current_span(), contextvars.copy_context())).result()
    assert seen[0] is trace.INVALID_SPAN
    assert len(instrumented.spans("snakepit.request")) == 1


def test_results_are_the_same_objects_and_nothing_keeps_them(instrumented):
    class Thing:
        pass

    thing, argument = Thing(), Thing()
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(lambda given, result: result, argument, thing)
        assert future.result() is thing
        executor.submit(commands.double, 1).result()
    alive, given = weakref.ref(thing), weakref.ref(argument)
    del argument
    assert given() is None
    del thing, future
    assert alive() is None


def test_an_error_keeps_nothing_alive(instrumented):
    class BrokenError(Exception):
        pass

    def work():
        raise BrokenError

    gc.collect()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(work)
            alive = weakref.ref(future.exception())
        del future
        assert alive() is None
    finally:
        gc.enable()


def test_an_error_has_its_context(instrumented):
    with ThreadPoolExecutor(1, "model") as executor, pytest.raises(LookupError, match="no bert"):
        executor.submit(commands.predict, "bert", text="dear ines@example.com").result()

    (record,) = instrumented.logs("snakepit.python.error.occurred")
    attributes = record.log_record.attributes
    assert attributes["snakepit.args"] == '{"model": "bert", "text": "[SANITIZED]"}'
    assert attributes["snakepit.error_class"] == "request"
    assert attributes["error.type"] == "LookupError"
    assert attributes["snakepit.worker_id"] == "model_0"
    assert attributes["snakepit.pool_name"] == "model"
    assert attributes["snakepit.memory_mb"] > 0
    assert attributes["snakepit.uptime_seconds"] >= 0
    assert attributes["snakepit.python_traceback"].endswith("LookupError: no bert\n")
    (request,) = instrumented.spans("snakepit.request")
    assert attributes["snakepit.request_id"] == request.attributes["snakepit.request_id"]


def test_asyncio_commands_have_the_name_of_the_users_function(instrumented):
    async def run():
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(commands.double, 2), await loop.run_in_executor(
            None, commands.double, 3
        )

    assert asyncio.run(run()) == (4, 6)
    requests = instrumented.spans("snakepit.request")
    assert [span.attributes["snakepit.command"] for span in requests] == ["commands.double"] * 2
    assert {span.attributes["snakepit.pool_name"] for span in requests} == {"asyncio"}


def test_a_task_in_a_copied_context_has_the_name_of_the_users_function(instrumented):
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(contextvars.copy_context().run, commands.double, 2).result() == 4

    (request,) = instrumented.spans("snakepit.request")
    assert request.attributes["snakepit.command"] == "commands.double"


def test_a_pool_without_a_name_has_that_of_its_class_or_a_given_one(instrumented):
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        name_pool(other, "inference")
        one.submit(commands.double, 1).result()
        other.submit(commands.double, 1).result()

    totals = instrumented.totals("snakepit.requests", "pool_name")
    assert totals == {"ThreadPoolExecutor": 1, "inference": 1}


@pytest.mark.parametrize("ours_is_first", [True, False])
def test_upstreams_instrumentation_of_threads_may_be_there_too(telemetry, ours_is_first):
    instrumentors = [FuturesInstrumentor(), ThreadingInstrumentor()]
    for each in instrumentors if ours_is_first else reversed(instrumentors):
        each.instrument()
    tracer = telemetry.tracer_provider.get_tracer("test")

    def work():
        with tracer.start_as_current_span("inside"):
            pass

    with ThreadPoolExecutor(1) as executor:
        executor.submit(work).result()
    for each in instrumentors:
        each.uninstrument()

    (call,) = telemetry.spans("snakepit.python.call")
    (inside,) = telemetry.spans("inside")
    assert inside.parent.span_id == call.context.span_id
    (request,) = telemetry.spans("snakepit.request")
    assert request.attributes["snakepit.command"].endswith("<locals>.work")


def test_excluded_commands_emit_nothing(telemetry, monkeypatch):
    monkeypatch.setenv("ASSAY_SNAKEPIT_EXCLUDED_COMMANDS", "shop., commands.dou")
    FuturesInstrumentor().instrument()
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(commands.double, 1).result() == 2
        assert executor.submit(commands.echo, 1).result() == 1
    FuturesInstrumentor().uninstrument()

    assert telemetry.totals("snakepit.requests", "command") == {"commands.echo": 1}


def test_a_pool_that_is_shut_down_refuses_as_before(instrumented):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(commands.double, 1)

    assert instrumented.totals("snakepit.requests", "status") == {"error": 1}


def test_a_submission_without_a_function_fails_as_before(instrumented):
    with ThreadPoolExecutor(1) as executor, pytest.raises(TypeError):
        executor.submit()


def test_gauges_of_a_pool_that_is_gone_are_0(instrumented):
    executor, go_on = ThreadPoolExecutor(2, "gone"), threading.Event()
    executor.submit(go_on.wait)
    assert instrumented.totals("snakepit.pool.busy_workers", "pool_name") == {"gone": 1}
    go_on.set()
    wait_until(lambda: instrumented.totals("snakepit.pool.available_workers", "pool_name") == {"gone": 2})
    executor.shutdown()
    assert instrumented.totals("snakepit.pool.available_workers", "pool_name") == {"gone": 0}
