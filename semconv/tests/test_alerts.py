"""The registry's alerts fire when they must, and not otherwise, in a real Prometheus."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from assay.semconv import CATALOGUE
from assay.semconv._grammar import assay_annotations
from assay.semconv.registry import definitions

SYNCS = 'alumiini_syncs_total{repo_name="a",trigger="poll",outcome="%s"}'
CACHE = 'alumiini_cache_total{cache_name="commits",result="%s"}'
CALLS = 'ingot_%s_client_duration_seconds_count{operation="get_sample",result="ok"}'
ERRORS = 'ingot_%s_client_errors_total{operation="get_sample"}'
# Alert, series and their values over an hour, and the labels of the alert at its end; None: it does not fire.
CASES = [
    pytest.param("LowSyncSuccessRate", {SYNCS % "failure": "0+1x60"}, {}, id="every-sync-fails"),
    pytest.param(
        "LowSyncSuccessRate",
        {SYNCS % "failure": "0+1x60", SYNCS % "success": "0+199x60"},
        None,
        id="few-syncs-fail",
    ),
    pytest.param("LowSyncSuccessRate", {}, None, id="no-syncs"),
    pytest.param("LowCacheHitRate", {CACHE % "miss": "0+1x60"}, {}, id="every-access-misses"),
    pytest.param(
        "LowCacheHitRate", {CACHE % "miss": "0+1x60", CACHE % "hit": "0+9x60"}, None, id="most-accesses-hit"
    ),
    pytest.param(
        "HighWorkerRestarts",
        {'alumiini_workers_restarts_total{repo_name="a"}': "0+1x60"},
        {"repo_name": "a"},
        id="restarts",
    ),
    pytest.param(
        "HighWorkerRestarts",
        {'alumiini_workers_restarts_total{repo_name="a"}': "0x30 1x29"},
        None,
        id="one-restart",
    ),
    pytest.param(
        "HighWorkerMemory",
        {"alumiini_workers_memory_bytes": "300000000x60", "alumiini_workers_active": "2x60"},
        {},
        id="150-megabytes-a-repo",
    ),
    pytest.param(
        "HighWorkerMemory",
        {"alumiini_workers_memory_bytes": "60000000x60", "alumiini_workers_active": "2x60"},
        None,
        id="30-megabytes-a-repo",
    ),
    pytest.param(
        "HighErrorRate",
        {CALLS % "forge": "0+10x60", ERRORS % "forge": "0+1x60"},
        {},
        id="only-forge-is-called-and-fails",
    ),
    pytest.param(
        "HighErrorRate",
        {CALLS % "anvil": "0+10x60", ERRORS % "anvil": "0+1x60", CALLS % "forge": "0+1x60"},
        {},
        id="only-anvil-fails",
    ),
    pytest.param("HighErrorRate", {CALLS % "forge": "0+10x60"}, None, id="no-errors"),
]


@pytest.fixture(scope="module")
def promtool():
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not installed (Debian package prometheus)"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def alerts(registry):
    groups = definitions(registry).sections["attribute_groups"].values()
    return {each["name"]: each for group in groups for each in assay_annotations(group).get("alerts", [])}


@pytest.fixture
def evaluate(promtool, tmp_path):
    """Return what runs one of promtool's tests over one rule."""

    def _evaluate(rule, test):
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
        tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))
        command = [promtool, "test", "rules", tmp_path / "test.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return _evaluate


@pytest.mark.parametrize(("name", "series", "labels"), CASES)
def test_fires(evaluate, alerts, name, series, labels):
    expected = [] if labels is None else [{"exp_labels": labels}]
    evaluate(
        {"alert": name, "expr": alerts[name]["expr"], "for": alerts[name]["for"]},
        {
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in series.items()],
            "alert_rule_test": [{"eval_time": "1h", "alertname": name, "exp_alerts": expected}],
        },
    )


def test_alerts_read_series_of_the_registry(alerts):
    known = {metric.series for metric in CATALOGUE.metrics.values()}
    for alert in alerts.values():
        for word in re.findall(r"\b(?:alumiini|ingot)_\w+", alert["expr"]):
            assert any(word.removesuffix(suffix) in known for suffix in ("", "_bucket", "_count")), word


def test_the_series_of_the_cases_have_the_labels_of_the_registry():
    labels = {metric.series: {each.name for each in metric.labels} for metric in CATALOGUE.metrics.values()}
    for case in CASES:
        _, given, _ = case.values
        for series in given:
            name, _, pairs = series.removesuffix("}").partition("{")
            named = {pair.partition("=")[0] for pair in pairs.split(",") if pair}
            assert named == labels[name.removesuffix("_count")]
