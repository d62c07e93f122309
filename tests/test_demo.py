"""`assay demo` as a user types it: its output and the files that it leaves."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from assay.instrumentation.testing.kubernetes import cached_binary

pytestmark = pytest.mark.slow


def test_object_reports_that_every_check_passed(demo):
    _, facts = demo
    assert facts["collector"]["validated"] is True
    assert facts["app"]["exit"] == 0
    assert facts["app"]["assets"] >= 20
    assert facts["app"]["failed_assets"] >= 1
    assert facts["app"]["executors"] == ["in_process", "multiprocess"]
    assert facts["metrics"]["mismatches"] == []
    audit = facts["audit"]
    assert audit["accepted"] == audit["stored"] > 0
    assert audit["quarantined"] == 0
    assert audit["verified"] is True
    assert audit["tamper_detected"] is True
    assert facts["cdevents"]["sent"] > 0
    assert facts["cdevents"]["invalid"] == 0


def test_every_name_of_the_designs_arrives_of_the_parts_that_can_run_here(demo):
    _, facts = demo
    subsystems = facts["subsystems"]
    assert subsystems["flowstone"]["not_run"] == subsystems["snakepit"]["not_run"] == []
    has_cluster = shutil.which("etcd") is not None and cached_binary().is_file()
    assert (subsystems["alumiini"]["not_run"] == []) == has_cluster
    for name, found in subsystems.items():
        assert (found["missing"] == []) == (found["not_run"] == []), name


def test_object_has_the_agreed_shape(demo):
    _, facts = demo
    assert {key: set(value) for key, value in facts.items() if isinstance(value, dict)} == {
        "collector": {"version", "source", "validated"},
        "app": {"exit", "assets", "failed_assets", "executors"},
        "spans": {"count", "traces", "errors", "names"},
        "metrics": {"families", "mismatches"},
        "logs": {"count"},
        "audit": {"accepted", "stored", "quarantined", "verified", "tamper_detected", "origin"},
        "cdevents": {"sent", "invalid", "types"},
        "subsystems": {"flowstone", "alumiini", "snakepit"},
    }
    for found in facts["subsystems"].values():
        assert found.keys() == {"events", "series", "missing", "not_run"}
    assert isinstance(facts["seconds"], float)


@pytest.mark.parametrize(
    "name",
    [
        "audit/log.db",
        "audit/checkpoint",
        "audit/verifier.key",
        "audit/proof.json",
        "cdevents.jsonl",
        "metrics.prom",
        "traces.jsonl",
        "app.log",
        "collector.log",
    ],
)
def test_demo_leaves_its_files(demo, name):
    folder, _ = demo
    assert (folder / name).stat().st_size > 0


@pytest.mark.parametrize("name", ["app.log", "cdevents.jsonl", "traces.jsonl"])
def test_line_files_hold_json_lines(demo, name):
    folder, _ = demo
    for line in (folder / name).read_text(encoding="utf-8").splitlines():
        assert isinstance(json.loads(line), dict)


def test_log_and_proof_verify_offline(demo, assay):
    folder, _ = demo
    key = str(folder / "audit/verifier.key")
    verified = assay("audit", "verify", "--db", str(folder / "audit/log.db"), "--key", key)
    assert verified.returncode == 0, verified.stderr
    proven = assay("audit", "verify-proof", str(folder / "audit/proof.json"), "--key", key)
    assert proven.returncode == 0, proven.stderr


def test_verify_names_each_changed_field_of_a_record(demo, assay, tmp_path):
    folder, _ = demo
    with closing(sqlite3.connect(folder / "audit/log.db")) as log:
        columns = [row[1] for row in log.execute("PRAGMA table_info(audit_log)")]
        record_id = log.execute("SELECT id FROM audit_log LIMIT 1 OFFSET 3").fetchone()[0]
    assert "actor_id" in columns
    for column in columns:
        copy = tmp_path / f"{column}.db"
        shutil.copy(folder / "audit/log.db", copy)
        changed = _change(copy, column, record_id)
        done = assay("audit", "verify", "--db", str(copy), "--key", str(folder / "audit/verifier.key"))
        assert done.returncode == 1, f"{column}: verify missed the change"
        named = done.stdout + done.stderr
        assert str(record_id) in named or str(changed) in named, f"{column}: {named}"


def _change(database: Path, column: str, record_id: str) -> object:
    """Write another value of the same type to one field, without the triggers; return the value."""
    with closing(sqlite3.connect(database)) as log, log:
        for (trigger,) in log.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            log.execute(f'DROP TRIGGER "{trigger}"')
        (value,) = log.execute(f'SELECT "{column}" FROM audit_log WHERE id = ?', (record_id,)).fetchone()
        other = _another(value)
        log.execute(f'UPDATE audit_log SET "{column}" = ? WHERE id = ?', (other, record_id))
        return other


def _another(value: object) -> object:
    if isinstance(value, int):
        return value + 100_000
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return f"{value or ''}x"


def test_series_pass_promtool(demo, promtool):
    folder, _ = demo
    text = (folder / "metrics.prom").read_bytes()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    # Status 3 is advice on names, which the seeds define; status 1 means that the text does not parse.
    assert done.returncode in (0, 3), done.stderr


def test_series_were_compared_by_increase(demo):
    folder, _ = demo
    assert (folder / "prometheus" / "data").exists() == (shutil.which("prometheus") is not None)


def test_demo_without_a_collector_and_prometheus_runs_and_reports_that(assay, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = assay("demo", "--collector", "none", "--keep", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    assert "No Collector" in lines[0]
    assert any("No Collector" in line for line in lines[-3:])
    assert any("the increase between two scrapes" in line for line in lines)
    assert any("not run: git syncs: git is not on PATH" in line for line in lines)
    assert not (tmp_path / "kept" / "prometheus").exists()


def test_demo_rejects_a_folder_that_is_not_empty(assay, tmp_path):
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    done = assay("demo", "--keep", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
