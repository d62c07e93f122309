"""The demo's checks and its printed outcome."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from assay.cli._demo.application import WorkloadResult
from assay.cli._demo.arrivals import Series
from assay.cli._demo.audit_log import AuditLog
from assay.cli._demo.report import show
from assay.cli._demo.run import Outcome

ASSETS = {kind: {} for kind in ("started", "checked", "failed", "retried", "succeeded", "stored", "loaded")}
GOOD = {
    "workload": WorkloadResult(0, {}, ["in_process"], ASSETS, {"polls": 0, "triggers": 0}),
    "series": Series([], {"audit_records_emitted_total": [({}, 4)]}),
    "audit": AuditLog({("a", "b"): 4}, 0, "o", failure="", tampering="record 1: actor[0] differs"),
    "collector": {"version": "", "source": "none", "validated": False},
}


def shown(outcome: Outcome) -> str:
    text = io.StringIO()
    show(outcome, Path("/kept"), Console(file=text, width=40))
    return text.getvalue()


def test_a_demo_without_failed_checks():
    assert Outcome(**GOOD).passed
    assert "detected: record 1: actor[0] differs\n" in shown(Outcome(**GOOD))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audit": AuditLog({("a", "b"): 4}, failure="root [x] differs", tampering="t")}, "root [x] differs"),
        ({"audit": AuditLog({("a", "b"): 4}, failure="")}, "a changed letter was not detected"),
        ({"audit": AuditLog({}, failure="", tampering="t")}, "4 records accepted, 0 stored"),
        ({"audit": AuditLog({("a", "b"): 4}, 2, failure="", tampering="t")}, "2 entries in quarantine"),
        ({"invalid_cdevents": 3}, "CDEvents: 3 are invalid or were not sent"),
        ({"mismatches": ["spans: one is missing"]}, "spans: one is missing"),
    ],
)
def test_each_failed_check_is_named(change, message):
    outcome = Outcome(**{**GOOD, **change})
    assert not outcome.passed
    _, _, failures = shown(outcome).partition("Failed checks:\n")
    assert message in failures
