from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.propagate import extract as otel_extract
from opentelemetry.propagate import inject as otel_inject

from assay.telemetry import carry, correlation, execute, span
from assay.telemetry.correlation import HEADER, VARIABLE, current, environment, extract, inject


def ids(seen):
    return [d["correlation_id"] for _, _, d in seen]


def test_one_that_is_given_stays(seen):
    with correlation("outer"):
        execute("a.b", None, {"correlation_id": "given"})
    assert ids(seen) == ["given"]


def test_without_one_a_uuid_is_made(seen):
    execute("a.b")
    execute("a.b")
    first, second = ids(seen)
    assert first != second
    assert UUID(first).version == 4


def test_a_program_s_seed_makes_no_two_the_same():
    random.seed(7)
    first = current()
    random.seed(7)
    assert current() != first


def test_the_enclosing_one_holds_and_ends(seen):
    with correlation("one"):
        execute("a.b")
        with correlation("two"):
            execute("a.b")
        execute("a.b")
    execute("a.b")
    assert ids(seen)[:3] == ["one", "two", "one"]
    assert ids(seen)[3] not in {"one", "two"}


def test_it_travels_as_baggage(seen):
    carrier = {}
    with correlation("order-17"):
        otel_inject(carrier)
    token = otel_context.attach(otel_extract(carrier))
    try:
        execute("a.b")
    finally:
        otel_context.detach(token)
    assert ids(seen) == ["order-17"]


def test_baggage_comes_before_the_enclosing_span(seen):
    with span("a.b"):
        token = otel_context.attach(baggage.set_baggage("assay.correlation_id", "remote"))
        execute("c.d")
        otel_context.detach(token)
    assert seen.of("c.d")[1]["correlation_id"] == "remote"


def test_a_trace_gives_its_id(seen):
    context = trace.SpanContext(0x1234, 0x5678, is_remote=True)
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(context)))
    try:
        execute("a.b")
    finally:
        otel_context.detach(token)
    assert UUID(ids(seen)[0]).int == 0x1234


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "a\nb", "é"])
def test_what_could_forge_a_log_line_is_refused(bad):
    with pytest.raises(ValueError, match="correlation id"), correlation(bad):
        pass
    assert extract({HEADER: bad}) is None


def test_headers():
    headers = {}
    with correlation("order-17"):
        inject(headers)
    assert headers == {"x-snakepit-correlation-id": "order-17"}
    assert extract({"X-Snakepit-Correlation-Id": "order-17"}) == "order-17"
    assert extract([("accept", "x"), (HEADER.encode(), b"order-17")]) == "order-17"
    assert extract({HEADER: ["order-17"]}) == "order-17"
    assert extract({}) is None


def test_threads(seen):
    with correlation("order-17"), ThreadPoolExecutor(1) as pool:
        pool.submit(carry(execute), "carried").result()
        pool.submit(execute, "left").result()
    assert seen.of("carried")[1]["correlation_id"] == "order-17"
    assert seen.of("left")[1]["correlation_id"] != "order-17"


def test_what_is_carried_may_run_many_times_at_once():
    with correlation("order-17"):
        carried = carry(current)
    barrier, got = threading.Barrier(3), []

    def run():
        barrier.wait()
        got.append(carried())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["order-17"] * 3


def test_asyncio(seen):
    async def main():
        with correlation("order-17"):
            await asyncio.create_task(inside())

    async def inside():
        execute("a.b")

    asyncio.run(main())
    assert ids(seen) == ["order-17"]


def test_processes():
    with correlation("order-17"):
        variables = environment()
    assert variables[VARIABLE] == "order-17"
    assert VARIABLE not in os.environ
    code = "from assay.telemetry.correlation import current; print(current())"
    out = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "order-17"


def test_without_an_id_the_current_one_goes_on():
    with correlation("one"), correlation() as same:
        assert same == "one"


def test_a_block_that_ends_elsewhere_leaves_that_place_alone():
    block = correlation("one")
    carry(block.__enter__)()
    assert baggage.get_baggage("assay.correlation_id") is None
    with correlation("two"):
        block.__exit__(None, None, None)
        assert current() == "two"
