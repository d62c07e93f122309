"""One project, both executors: everything is counted once, and Dagster behaves as without us."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from dagster import DagsterInstance, execute_job, materialize, reconstructable
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

PROJECTS = str(Path(__file__).parent / "projects")
VARYING = re.compile(r"[0-9a-f-]{36}|pid: \d+|(\d+m)?[\d.]+(ms|s)\b|home\S*|/\S+")
"""Ids, durations and paths in the messages of Dagster's events."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def shop(monkeypatch, tmp_path):
    """Return the project, with a folder of its own."""
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path))
    monkeypatch.syspath_prepend(PROJECTS)
    # Where Dagster's child processes look for the module.
    monkeypatch.chdir(PROJECTS)
    sys.modules.pop("shop", None)
    import shop

    return shop


@pytest.fixture
def instance(tmp_path):
    """Return a Dagster instance on disk, which child processes can open."""
    home = tmp_path / "home"
    home.mkdir()
    with DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as found:
        yield found


def _execute(job, instance):
    with execute_job(reconstructable(job), instance=instance, run_config=QUIET) as result:
        return result


STARTS = {"seed": 1, "leaf": 1, "flaky": 2, "broken": 1, "refused": 1}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_everything_is_counted_once(dagster_telemetry, shop, instance, executor):
    result = _execute(getattr(shop, executor), instance)

    assert not result.success
    counts = dagster_telemetry.counts
    assert counts("flowstone.materialization.start.count") == STARTS
    assert counts("flowstone.materialization.stop.count") == STARTS
    assert counts("flowstone.materialization.stop.count", "status") == {"success": 3, "failure": 3}
    assert counts("flowstone.materialization.exception.count") == {"flaky": 1, "broken": 1, "refused": 1}
    assert counts("flowstone.materialization.duration") == STARTS
    assert counts("flowstone.io.load.count") == {"seed": 1, "leaf": 3}
    assert counts("flowstone.io.store.count") == {"seed": 1, "leaf": 1, "flaky": 1}
    assert counts("flowstone.error.count") == {"flaky": 1, "broken": 1, "refused": 1}
    assert counts("flowstone.error.count", "retryable") == {"true": 1, "false": 2}
    assert counts("flowstone.resource.healthy", "resource") == {"io_manager": 1}
    assert len(dagster_telemetry.named("flowstone.run")) == 1


def _events_of_dagster(result):
    """Return Dagster's events of a run, without the parts that differ from run to run."""
    lines = Counter()
    for event in result.all_events:
        message = VARYING.sub("…", event.message or "")
        data = event.event_specific_data
        error = getattr(data, "error", None)
        frames = [line for line in (error.stack if error else ()) if "shop.py" in line]
        causes = (error.cls_name, error.message, error.cause and error.cause.cls_name) if error else None
        lines[event.event_type_value, event.step_key, message, causes, tuple(frames)] += 1
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_dagster_reports_the_same_as_without_us(shop, instance, executor, tmp_path):
    def events():
        (tmp_path / "flaky.mark").unlink(missing_ok=True)
        return _events_of_dagster(_execute(getattr(shop, executor), instance))

    before = events()
    DagsterInstrumentor().instrument()
    try:
        during = events()
    finally:
        DagsterInstrumentor().uninstrument()

    assert during == before
    assert events() == before


def test_exceptions_reach_the_caller_as_without_us(shop):
    def raised():
        with pytest.raises(ValueError, match="cannot use seed-leaf") as found:
            materialize([shop.seed, shop.leaf, shop.broken])
        frames = [entry for entry in found.traceback if entry.path.name == "shop.py"]
        return found.type, str(found.value), [entry.lineno for entry in frames], found.value.__cause__

    before = raised()
    DagsterInstrumentor().instrument()
    try:
        assert raised() == before
    finally:
        DagsterInstrumentor().uninstrument()


@pytest.mark.slow
def test_a_child_process_that_dies_is_an_error(dagster_telemetry, shop, instance):
    result = _execute(shop.deadly_job, instance)

    assert not result.success
    (error,) = dagster_telemetry.events("flowstone.error")
    assert (error["subject"], error["origin"]) == ("op:dies", "op")
    assert error["type"].endswith("ChildProcessCrashException")  # Dagster's record has no more
    assert error["exit_code"] == 3
    assert error["message"] == "the process exited with code 3"


@pytest.mark.slow
def test_each_attempt_whose_process_a_signal_ends_is_numbered(dagster_telemetry, shop, instance):
    assert not _execute(shop.mortal_job, instance).success

    failed = dagster_telemetry.events("flowstone.materialization.exception")
    assert [(event["exit_code"], event["exit_signal"]) for event in failed] == [(-9, "SIGKILL")] * 3
    retries = dagster_telemetry.events("flowstone.materialization.retry")
    assert [event["attempt"] for event in retries] == [2, 3]


@pytest.mark.parametrize(
    ("exit_code", "named"), [(-9, "SIGKILL"), (-15, "SIGTERM"), (3, None), (-250, "250")]
)
def test_the_signal_that_ended_a_process_is_named(exit_code, named):
    from opentelemetry.instrumentation.flowstone.dagster._failures import signal_of

    assert signal_of(exit_code) == named
