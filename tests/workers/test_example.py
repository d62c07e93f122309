"""The inference service of `examples/workers`: what its pools did equals what arrives at the far end."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/workers"
EXECUTOR, POOL = "ProcessPoolExecutor", "Pool"
ENDED_BY_THE_EXECUTOR = {0, -signal.SIGTERM}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def journal(far_end):
    """Return what the pools did, by the service's own journal."""
    return json.loads(far_end.run(EXAMPLE / "load.py").stdout)


@pytest.fixture
def crashed(journal):
    """Return the ids of the workers that crashed, by their exit codes."""
    return Counter(
        f"{EXECUTOR}-{process}"
        for process, code in journal["exit_codes"].items()
        if code not in ENDED_BY_THE_EXECUTOR
    )


def requests(journal):
    """Return how many requests there are by pool and status."""
    return Counter(
        {
            (pool, status): number
            for pool, key in ((EXECUTOR, "executor"), (POOL, "pool"))
            for status, number in journal[key].items()
        }
    )


def test_service_answers_each_request_although_workers_are_lost(journal, crashed):
    assert journal["right"] == journal["sent"]
    assert {"BrokenProcessPool", "MemoryError", "ValueError"} <= journal["errors"].keys()
    assert set(journal["exit_codes"].values()) >= {3, -signal.SIGKILL}
    assert len(crashed) >= 6
    assert journal["executor"]["canceled"] > 0
    assert len(journal["recycled"]) > 1


def test_each_request_is_counted_once(far_end, journal):
    series = far_end.series()
    expected = requests(journal)
    for name in ("snakepit_requests_total", "snakepit_request_duration_seconds_count"):
        assert series.by(name, "pool_name") == by_pool(expected), name
    statuses = Counter()
    for labels, value in series.samples["snakepit_requests_total"]:
        statuses[labels["pool_name"], labels["status"]] += value
    assert statuses == expected


def by_pool(counted):
    totals = Counter()
    for (pool, _), number in counted.items():
        totals[pool] += number
    return totals


def test_each_request_is_a_span(far_end, journal):
    spans = far_end.spans("snakepit.request")
    found = Counter((span["has"]["snakepit.pool_name"], span["has"]["snakepit.status"]) for span in spans)
    assert found == requests(journal)
    assert len({span["spanId"] for span in spans}) == len(spans)
    events = far_end.logs("snakepit.request.completed")
    assert Counter((has["snakepit.pool_name"], has["snakepit.status"]) for has in events) == found


def test_each_task_of_a_worker_that_ended_as_planned_is_a_child_of_its_request(far_end, journal):
    """A worker that is killed takes spans with it that it has not sent."""
    returned = {EXECUTOR: journal["returned"], POOL: journal["scored"]}
    parents = {span["spanId"] for span in far_end.spans("snakepit.request")}
    calls = Counter()
    for span in far_end.spans("snakepit.python.call"):
        assert span["parentSpanId"] in parents
        if "code" not in span.get("status", {}):
            calls[span["has"]["snakepit.worker_id"]] += 1
    planned = {process for process, code in journal["exit_codes"].items() if code == 0} | journal[
        "scored"
    ].keys()
    for pool, tasks in returned.items():
        for process, number in tasks.items():
            worker = f"{pool}-{process}"
            assert calls[worker] <= number
            assert calls[worker] == number or process not in planned


def test_each_crash_is_an_incident_that_is_resolved(far_end, crashed):
    for name in ("snakepit.worker.crash", "snakepit.worker.restarted"):
        assert Counter(has["snakepit.worker_id"] for has in far_end.logs(name)) == crashed, name
    assert far_end.cdevents("incident.detected") == crashed
    assert far_end.cdevents("incident.resolved") == crashed


def test_crashes_have_the_reason_that_the_exit_code_gives(far_end, journal):
    reasons = {
        has["snakepit.worker_id"]: has["snakepit.reason"] for has in far_end.logs("snakepit.worker.crash")
    }
    names = {3: "exit code 3", -signal.SIGKILL: "SIGKILL"}
    expected = {
        f"{EXECUTOR}-{process}": names[code]
        for process, code in journal["exit_codes"].items()
        if code in names
    }
    assert expected.items() <= reasons.items()


def test_each_recycled_worker_is_counted(far_end, journal):
    recycled = Counter(f"{POOL}-{process}" for process in journal["recycled"])
    assert Counter(has["snakepit.worker_id"] for has in far_end.logs("snakepit.worker.recycled")) == recycled
    assert far_end.series().by("snakepit_worker_recycled_total", "pool_name") == {POOL: len(recycled)}


def test_a_lack_of_memory_is_an_error_of_the_system(far_end, journal):
    classes = {
        has["error.type"]: has["snakepit.error_class"]
        for has in far_end.logs("snakepit.python.error.occurred")
    }
    assert classes["ValueError"] == "request"
    (memory,) = (found for error, found in classes.items() if error.endswith("MemoryError"))
    assert memory == "system"
