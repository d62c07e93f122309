"""The members `subsystems` of the demo's JSON object."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from assay.cli._demo.seeds import SEEDS
from assay.cli._demo.subsystems import find_arrived
from assay.semconv import CATALOGUE

SIGNALS = Path(__file__).parents[3] / "shared" / "design" / "signals.yaml"


@pytest.mark.parametrize("name", SEEDS)
def test_the_seed_has_the_names_of_the_designs(name):
    if not SIGNALS.is_file():
        reason = f"{SIGNALS} is absent: the designs are beside a checkout, not in it"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    designed = yaml.safe_load(SIGNALS.read_text())[name]

    def required(part: str, key: str) -> list[str]:
        return [each[key] for each in designed[part] if each["origin"].startswith("seed")]

    assert sorted(SEEDS[name].events) == sorted([*required("spans", "event"), *required("events", "name")])
    assert sorted(SEEDS[name].metrics) == sorted(required("metrics", "name"))
    assert sorted(SEEDS[name].series) == sorted(required("metrics", "prom"))


@pytest.mark.parametrize("name", SEEDS)
def test_the_registry_defines_the_names_of_the_seed(name):
    assert set(SEEDS[name].events) <= CATALOGUE.events.keys() | CATALOGUE.spans.keys()
    assert set(SEEDS[name].metrics) <= CATALOGUE.metrics.keys()


def test_what_has_not_arrived_is_missing():
    seed = SEEDS["snakepit"]
    found = find_arrived(["snakepit.request", "other"], seed.series[1:], {})["snakepit"]
    assert found.as_json() == {
        "events": 1,
        "series": len(seed.series) - 1,
        "missing": ["snakepit.request.completed", seed.series[0]],
        "not_run": [],
    }
    assert found.mismatches == [f"{name}: it has not arrived" for name in found.missing]


def test_missing_names_are_no_mismatch_where_a_part_was_not_run():
    reasons = {"alumiini": ["git syncs: git is not on PATH"]}
    found = find_arrived([], [], reasons)["alumiini"]
    assert found.missing == [*SEEDS["alumiini"].events, *SEEDS["alumiini"].series]
    assert found.not_run == reasons["alumiini"]
    assert found.mismatches == []
