"""On a real Prometheus, `increase()` counts short processes, and series do not grow with them."""

from __future__ import annotations

import pytest

from .conftest import GAUGE_SECONDS, Deployment, wait_until

pytestmark = pytest.mark.slow

COUNTERS = (
    "flowstone_materialization_start_count_total",
    "flowstone_materialization_stop_count_total",
    "flowstone_io_load_count_total",
)
HISTOGRAM = "flowstone_materialization_duration_milliseconds"


def counts(deployment: Deployment) -> dict[str, float]:
    names = (*COUNTERS, f"{HISTOGRAM}_count")
    found = {name: deployment.increase(name) for name in names}
    buckets = deployment.prometheus.increases(f"{HISTOGRAM}_bucket")
    found[f"{HISTOGRAM}_bucket"] = max((value for _, value in buckets), default=0)
    return {name: round(value, 6) for name, value in found.items()}


def expect(deployment: Deployment, number: int) -> None:
    """Wait for N everywhere, and see that it stays N."""
    found: dict[str, float] = {}

    def reached() -> bool:
        found.update(counts(deployment))
        return min(found.values()) >= number

    wait_until(reached)
    deployment.wait_for_scrapes(2)
    wait_until(reached)
    assert found == dict.fromkeys(found, number)


def test_n_runs_in_n_processes_increase_every_series_by_n_and_add_no_series(deployment):
    for _ in range(2):
        deployment.worker().do("emit").end()
    expect(deployment, 2)
    wait_until(lambda: any("traces_span_metrics_calls" in one for one in deployment.series()))
    series = deployment.series()
    for _ in range(4):
        deployment.worker().do("emit").end()
    expect(deployment, 6)
    assert deployment.series() == series
    assert not any("instance" in one and "i-" in one for one in series)


def test_a_forked_process_counts_beside_its_parent(deployment):
    deployment.worker().do("emit", "fork", "emit").end()
    expect(deployment, 3)


def test_kills_of_host_collector_and_workers_lose_nothing_and_count_nothing_twice(deployment):
    lasting = deployment.worker().do("emit", "flush")
    expect(deployment, 1)

    deployment.kill_host()
    deployment.worker().do("emit").end()  # the Collector keeps what it sent
    lasting.do("emit", "flush")
    deployment.collector.kill()
    lasting.do("emit")
    deployment.collector.start()
    lasting.do("flush")
    deployment.start_host()
    expect(deployment, 4)

    worker = deployment.worker().do("emit", "flush")
    worker.kill()
    expect(deployment, 5)

    deployment.collector.kill()
    deployment.kill_host()
    deployment.start_host()
    deployment.collector.start()
    lasting.do("emit", "flush").end()
    deployment.worker().do("emit").end()
    expect(deployment, 7)


def test_gauges_go_when_their_process_goes(deployment):
    name = "flowstone_resource_healthy"

    def shown() -> list[float]:
        return [value for _, value in deployment.prometheus.query(name)]

    worker = deployment.worker().do("healthy", "flush")
    wait_until(lambda: shown() == [1])
    deployment.wait_for_scrapes(2 * GAUGE_SECONDS)
    assert shown() == [1]  # it is reported as long as the process lives
    worker.kill()
    wait_until(lambda: shown() == [])
