"""Each alert fires where it must, and none on a healthy run: in Prometheus, and in promtool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from assay.semconv import CATALOGUE

from .rules import ALERTS, OBJECTIVES, rules, write_rules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SLOW = {"HighSyncLatency", "HighGitFetchLatency", "HighApplyLatency"}
MISSED = {
    "failing": {
        "sync latency p99",
        "sync success rate",
        "git fetch latency p99",
        "apply latency p99",
        "cache hit rate",
    },
    "restarted": {"worker restart rate", "worker memory"},
}
MINUTES = 30
Labels = Mapping[str, str]
Value = Callable[[str, Labels], str | None]
"""Returns the values of a sample, a minute apart, in promtool's notation; None if the sample is absent."""


def observed(milliseconds: float, _sample: str, labels: Labels) -> str:
    """Return the values of a histogram with one observation a minute."""
    if "le" not in labels:
        return f"0+1x{MINUTES}"
    return f"0+{int(milliseconds <= float(labels['le']))}x{MINUTES}"


def counted(label: str, each: Mapping[str, int], _sample: str, labels: Labels) -> str | None:
    """Return the values of a counter that grows by so much a minute, by the value of a label."""
    return f"0+{each[labels[label]]}x{MINUTES}" if labels[label] in each else None


def held(value: float, _sample: str, _labels: Labels) -> str:
    """Return the values of a gauge."""
    return f"{value}x{MINUTES}"


def restarted(every: int, _sample: str, _labels: Labels) -> str:
    """Return the values of a counter that grows by 1 each so many minutes."""
    return " ".join(str(minute // every) for minute in range(MINUTES + 1))


HEALTHY: dict[str, Value] = {
    "alumiini_syncs_total": partial(counted, "outcome", {"success": 200, "failure": 1}),
    "alumiini_sync_duration_milliseconds": partial(observed, 20_000),
    "alumiini_git_duration_milliseconds": partial(observed, 3000),
    "alumiini_apply_duration_milliseconds": partial(observed, 1000),
    "alumiini_workers_restarts_total": partial(restarted, 60),
    "alumiini_workers_active": partial(held, 2),
    "alumiini_workers_memory_bytes": partial(held, 60e6),
    "alumiini_cache_total": partial(counted, "result", {"hit": 9, "miss": 1}),
}
"""The values of each family that the alerts read, in a healthy operation."""
FIRING: dict[str, dict[str, Value]] = {
    # No sync has succeeded and no access has hit, so their series do not exist.
    "LowSyncSuccessRate": {"alumiini_syncs_total": partial(counted, "outcome", {"failure": 1})},
    "LowCacheHitRate": {"alumiini_cache_total": partial(counted, "result", {"miss": 1})},
    "HighSyncLatency": {"alumiini_sync_duration_milliseconds": partial(observed, 70_000)},
    "HighGitFetchLatency": {"alumiini_git_duration_milliseconds": partial(observed, 40_000)},
    "HighApplyLatency": {"alumiini_apply_duration_milliseconds": partial(observed, 12_000)},
    "HighWorkerRestarts": {"alumiini_workers_restarts_total": partial(restarted, 5)},
    "HighWorkerMemory": {"alumiini_workers_memory_bytes": partial(held, 300e6)},
}
"""The families of each alert whose values differ from the healthy ones when it fires."""


def families(page: str) -> Iterator[Any]:
    """Yield the families of ALUMIINI on a page of `/metrics`."""
    for family in text_string_to_metric_families(page):
        if family.name.startswith("alumiini_"):
            yield family


def input_series(page: str, values: Mapping[str, Value]) -> list[dict[str, str]]:
    """Return promtool's input: the samples of a page with other values."""
    found: list[dict[str, str]] = []
    for family in families(page):
        value = values.get(family.name + "_total" if family.type == "counter" else family.name)
        for sample in family.samples if value else ():
            given = value(sample.name, sample.labels)
            if given is not None:
                labels = ",".join(f'{name}="{text}"' for name, text in sample.labels.items())
                found.append({"series": f"{sample.name}{{{labels}}}", "values": given})
    return found


@pytest.fixture
def promtool_finds(promtool, tmp_path):
    """Return a function that runs promtool on series and rules, and returns the alerts that fire."""

    def finds(series: list[dict[str, str]]) -> set[str]:
        write_rules(tmp_path / "rules.yaml", rules())
        fire = {
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": f"{MINUTES}m",
            "exp_samples": [{"labels": "none", "value": -1}],  # so that promtool prints what it has found
        }
        test = {"interval": "1m", "input_series": series, "promql_expr_test": [fire]}
        whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(whole), "utf-8")
        command = [promtool, "test", "rules", str(tmp_path / "test.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        (got,) = re.findall(r"got:(.*)", output) or [f"promtool: {output}"]
        return set(re.findall(r'alertname="(\w+)"', got))

    return finds


def test_no_alert_fires_on_a_healthy_run(story):
    assert story.alerts["healthy"] == set()


def test_alerts_fire_when_syncs_fail_and_are_slow_and_each_access_misses(story):
    assert story.alerts["failing"] == {"LowSyncSuccessRate", "LowCacheHitRate", *SLOW}


def test_alerts_fire_when_the_controller_restarts_and_leaks(story):
    assert story.alerts["restarted"] >= {"HighWorkerRestarts", "HighWorkerMemory"}


def test_each_alert_fires_in_the_story(story):
    assert set.union(*story.alerts.values()) == set(ALERTS)


def test_objectives_are_met_on_a_healthy_run(story):
    # The cache is new, and the memory of a single worker includes what the client's first use takes.
    assert story.objectives["healthy"] >= set(OBJECTIVES) - {"cache hit rate", "worker memory"}


@pytest.mark.parametrize("state", MISSED)
def test_objectives_are_missed_where_they_must(story, state):
    assert not story.objectives[state] & MISSED[state]


def test_the_page_has_the_types_and_labels_of_the_registry(story):
    metrics = {metric.series: metric for metric in CATALOGUE.of("alumiini").metrics.values()}
    for family in families(story.page):
        metric = metrics[family.name + "_total" if family.type == "counter" else family.name]
        assert family.type == metric.instrument
        named = {label.name for label in metric.labels} | {"job"}
        for sample in family.samples:
            assert set(sample.labels) == named | ({"le"} if sample.name.endswith("_bucket") else set())


def test_promtool_finds_no_alert_in_healthy_series_of_the_page(story, promtool_finds):
    assert promtool_finds(input_series(story.page, HEALTHY)) == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_promtool_finds_each_alert_in_series_of_the_page(story, promtool_finds, alert):
    assert promtool_finds(input_series(story.page, {**HEALTHY, **FIRING[alert]})) == {alert}
