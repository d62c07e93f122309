"""The alerts and objectives of ALUMIINI, evaluated by promtool on what `/metrics` gives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.instrumentation.alumiini import (
    AlumiiniInstrumentor,
    Repository,
    cache_access,
    git_operation_ended,
    worker_restarted,
    workers_active,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from assay.telemetry import execute

from .conftest import Exporter, Page, batch

REGISTRY = Path(__file__).parents[3] / "semconv" / "registry" / "alumiini.yaml"
SECOND = 10**9
MINUTES = 30
JOB = {"job": "gitops"}
REPOSITORY = {**JOB, "repo_name": "my-app"}
Step = Callable[[int], None]


def annotations() -> dict[str, Any]:
    """Return what the registry says of ALUMIINI as a whole."""
    groups = yaml.safe_load(REGISTRY.read_text())["attribute_groups"]
    return next(group["annotations"]["assay"] for group in groups if group["id"] == "alumiini")


ALERTS = {each["name"]: each for each in annotations()["alerts"]}
OBJECTIVES = {each["sli"]: each["expr"] for each in annotations()["slos"]}


def syncs(seconds: float, outcome: str = "success", each: int = 1) -> Step:
    """Return a step that emits the ends of syncs, which have lasted longer than a test can wait."""

    def step(_minute: int) -> None:
        phase = "stop" if outcome == "success" else "exception"
        for _ in range(each):
            execute(
                f"alumiini.sync.{phase}",
                {"duration": round(seconds * SECOND)},
                {"repo_name": "my-app", "trigger": "poll", "outcome": outcome},
            )

    return step


def applies(seconds: float) -> Step:
    def step(_minute: int) -> None:
        values = {"repo_name": "my-app", "resource_kind": "Service"}
        execute("alumiini.apply.stop", {"duration": round(seconds * SECOND), "resources_applied": 1}, values)

    return step


def fetches(seconds: float) -> Step:
    return lambda _: git_operation_ended("fetch", Repository("my-app"), duration_ns=round(seconds * SECOND))


def clones(seconds: float) -> Step:
    return lambda _: git_operation_ended("clone", Repository("my-app"), duration_ns=round(seconds * SECOND))


def accesses(*, hits: int, misses: int) -> Step:
    def step(_minute: int) -> None:
        for number in range(hits + misses):
            cache_access("commits", hit=number < hits)

    return step


def workers(count: int, megabytes: int) -> Step:
    return lambda _: workers_active(count, memory_bytes=megabytes * 10**6)


def restarts(*minutes: int) -> Step:
    def step(minute: int) -> None:
        if minute in minutes:
            worker_restarted("my-app/0", repository="my-app")

    return step


HEALTHY: dict[str, list[Step]] = {
    "syncs": [syncs(20, each=200), syncs(20, "failure")],
    "fetches": [fetches(3)],
    "clones": [clones(50)],
    "applies": [applies(1)],
    "cache": [accesses(hits=9, misses=1)],
    "workers": [workers(2, 60)],
    "restarts": [],
}
Case = tuple[dict[str, list[Step]], dict[str, dict[str, str]], set[str]]
CASES: dict[str, Case] = {
    # What differs from the healthy operation; the alerts that fire, with their labels; the objectives that
    # are missed or have no value.
    "healthy": ({}, {}, set()),
    "nothing happens": ({part: [] for part in HEALTHY}, {}, set(OBJECTIVES) - {"worker restart rate"}),
    "an operator without workers": ({"workers": [workers(0, 60)]}, {}, {"worker memory"}),
    "one restart": ({"restarts": [restarts(0, 9)]}, {}, {"worker restart rate"}),
    "syncs of 45 seconds": ({"syncs": [syncs(45)]}, {}, {"sync latency p99"}),
    "slow syncs": (
        {"syncs": [syncs(70)]},
        {"HighSyncLatency": {**REPOSITORY, "trigger": "poll"}},
        {"sync latency p99"},
    ),
    "every sync fails from the very first": (
        {"syncs": [syncs(1, "failure")]},
        {"LowSyncSuccessRate": {}},
        {"sync success rate"},
    ),
    "one of ten syncs times out": (
        {"syncs": [syncs(1, each=9), syncs(1, "timeout")]},
        {"LowSyncSuccessRate": {}},
        {"sync success rate"},
    ),
    "slow fetches": (
        {"fetches": [fetches(40)]},
        {"HighGitFetchLatency": {**REPOSITORY, "operation": "fetch"}},
        {"git fetch latency p99"},
    ),
    "slow applies": (
        {"applies": [applies(12)]},
        {"HighApplyLatency": {**REPOSITORY, "resource_kind": "Service"}},
        {"apply latency p99"},
    ),
    "a worker that restarts": (
        {"restarts": [restarts(*range(0, MINUTES, 3))]},
        {"HighWorkerRestarts": REPOSITORY},
        {"worker restart rate"},
    ),
    "150 MB for each repository": (
        {"workers": [workers(2, 300)]},
        {"HighWorkerMemory": {}},
        {"worker memory"},
    ),
    "every access misses from the very first": (
        {"cache": [accesses(hits=0, misses=3)]},
        {"LowCacheHitRate": {}},
        {"cache hit rate"},
    ),
}


class Controller:
    """An instrumented process and the page that Prometheus gets of it."""

    def __init__(self, exporter: Exporter, reader: InMemoryMetricReader) -> None:
        self._exporter = exporter
        self._reader = reader

    def pages(self, steps: list[Step]) -> Iterator[Page]:
        """Do the steps once for each minute, and yield the page after each."""
        for minute in range(MINUTES + 1):
            for step in steps:
                step(minute)
            if data := self._reader.get_metrics_data():
                self._exporter.send(batch(encode_metrics(data)))
            yield self._exporter.scrape()


@pytest.fixture
def controller(running, monkeypatch) -> Iterator[Controller]:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gitops")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    AlumiiniInstrumentor().instrument(meter_provider=provider)
    # The minutes of the test pass faster than those for which the page shows a new series as 0.
    with running(zero_seconds=0) as exporter:
        yield Controller(exporter, reader)
    AlumiiniInstrumentor().uninstrument()
    provider.shutdown()


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not installed (Debian package prometheus)"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def input_series(pages: Iterator[Page]) -> list[dict[str, str]]:
    """Return the samples of the pages, a minute apart, in promtool's notation."""
    values: dict[tuple[Any, ...], list[str]] = defaultdict(lambda: ["_"] * (MINUTES + 1))
    for minute, page in enumerate(pages):
        for key, value in page.samples.items():
            values[key][minute] = str(value)
    return [
        {
            "series": name + "{" + ",".join(f'{label}="{text}"' for label, text in labels) + "}",
            "values": " ".join(found),
        }
        for (name, *labels), found in values.items()
    ]


def run_promtool(promtool: str, folder: Path, test: dict[str, Any]) -> str:
    """Run one of promtool's unit tests over all alerts, and return what it reports; empty if it passes."""
    rules = [
        {"alert": name, "expr": alert["expr"], "for": alert["for"], "labels": {"severity": alert["severity"]}}
        for name, alert in ALERTS.items()
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "alumiini", "rules": rules}]}))
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(tests))
    command = [promtool, "test", "rules", str(folder / "test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_alerts_fire_and_objectives_are_missed_where_they_must(case, controller, promtool, tmp_path):
    change, fired, missed = CASES[case]
    steps = [step for part in {**HEALTHY, **change}.values() for step in part]
    test = {
        "interval": "1m",
        "input_series": input_series(controller.pages(steps)),
        "alert_rule_test": [
            {
                "eval_time": f"{MINUTES}m",
                "alertname": name,
                "exp_alerts": [{"exp_labels": {**fired[name], "severity": alert["severity"]}}]
                if name in fired
                else [],
            }
            for name, alert in ALERTS.items()
        ],
        "promql_expr_test": [
            {
                "expr": f"count({expression})",
                "eval_time": f"{MINUTES}m",
                "exp_samples": [] if sli in missed else [{"labels": "{}", "value": 1}],
            }
            for sli, expression in OBJECTIVES.items()
        ],
    }
    assert run_promtool(promtool, tmp_path, test) == ""


def test_each_alert_fires_in_some_case():
    assert {name for _, fired, _ in CASES.values() for name in fired} == set(ALERTS)
    assert {sli for _, _, missed in CASES.values() for sli in missed} == set(OBJECTIVES)
