"""Each part of the telemetry is broken in turn; the work goes on as if it were not there."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry.instrumentation.snakepit import (
    _child_tasks,
    _commands,
    _pending,
    _pools,
    _roster,
    _submission,
    _tasks,
    event_bus,
)
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor

from assay.instrumentation import RelaySender
from assay.telemetry import detach, list_handlers

sys.path.insert(0, str(Path(__file__).parent))
import commands

PARTS = [
    (_commands, "command_of"),
    (_pending, "Operation"),
    (_pending, "current"),
    (_pending, "request"),
    (_pending, "request_completed"),
    (_pending, "mend"),
    (_pools.POOLS, "find"),
    (_roster, "pool_worker"),
    (_child_tasks, "prepare_child"),
    (_child_tasks, "carry_context"),
    (_submission, "Running"),
    (_tasks, "Running"),
    (_tasks, "python_call"),
    (_tasks, "join_carried"),
    (_tasks, "sanitise"),
    (_tasks, "error_context"),
    (_tasks, "RelaySender"),
    (RelaySender, "drain"),
]


def work(executor):
    with executor:
        results = [executor.submit(commands.double, number).result(60) for number in range(3)]
        with pytest.raises(ValueError, match="no"):
            executor.submit(commands.fail, "no").result(60)
        return results


def fork_pool():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))


@pytest.mark.parametrize("make", [fork_pool, lambda: ThreadPoolExecutor(1)], ids=["processes", "threads"])
@pytest.mark.parametrize(("owner", "name"), PARTS, ids=[name for _, name in PARTS])
def test_work_goes_on_when_a_part_breaks(telemetry, monkeypatch, make, owner, name):
    def broken(*_args, **_kwargs):
        raise RuntimeError("broken")

    FuturesInstrumentor().instrument()
    monkeypatch.setattr(owner, name, broken)
    try:
        assert work(make()) == [0, 2, 4]
    finally:
        FuturesInstrumentor().uninstrument()


def test_a_failing_consumer_is_suspended_and_hooks_may_fail(telemetry):
    def broken(*_args):
        raise RuntimeError("broken")

    consumer = event_bus.EventBus().register_consumer("snakepit.*", broken)
    FuturesInstrumentor().instrument(request_hook=broken, response_hook=broken)
    try:
        for _ in range(5):
            assert work(ThreadPoolExecutor(1)) == [0, 2, 4]
        (info,) = [each for each in list_handlers("snakepit.*") if each.id == consumer]
    finally:
        FuturesInstrumentor().uninstrument()
        detach(consumer)
    assert info.is_cut
    assert telemetry.totals("snakepit.requests", "status") == {"success": 15, "error": 5}
