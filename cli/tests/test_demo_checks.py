"""The demo's comparison of what arrived with what git, the API server and the pool have recorded."""

from __future__ import annotations

from collections import Counter

from assay.cli._demo.arrivals import Series
from assay.cli._demo.checks import program_mismatches, stored_mismatches
from assay.cli._demo.programs import ProgramResults

RESULTS = ProgramResults(Counter({"fetch": 2}), Counter({"ConfigMap": 3}), tasks=20)


def series(*, fetches: float = 2, applies: float = 3, requests: float = 20) -> Series:
    return Series(
        [],
        {
            "alumiini_git_operations_total": [
                ({"operation": "fetch", "outcome": "success"}, fetches - 1),
                ({"operation": "fetch", "outcome": "failure"}, 1),
            ],
            "alumiini_resources_applied_total": [({"resource_kind": "ConfigMap"}, applies)],
            "snakepit_requests_total": [
                ({"job": "demo-pool", "status": "success"}, requests),
                ({"job": "demo-shop", "status": "success"}, 7),
            ],
        },
    )


def test_equal_counts_are_no_mismatch():
    assert program_mismatches(RESULTS, series()) == []


def test_each_different_count_is_named():
    assert program_mismatches(RESULTS, series(fetches=3, applies=2, requests=21)) == [
        "alumiini_git_operations_total of fetch: recorded 2, arrived 3",
        "alumiini_resources_applied_total of ConfigMap: recorded 3, arrived 2",
        "snakepit_requests_total of demo-pool: recorded 20, arrived 21",
    ]


def test_each_audited_log_event_has_a_record():
    stored = {("alumiini.sync_started", "shop"): 1, ("alumiini.sync_started", "till"): 1}
    assert stored_mismatches(stored, Counter({"alumiini.sync_started": 2, "alumiini.git_fetched": 1})) == []
    assert stored_mismatches(stored, Counter({"alumiini.sync_started": 3})) == [
        "audit alumiini.sync_started: 3 log events, 2 records"
    ]
