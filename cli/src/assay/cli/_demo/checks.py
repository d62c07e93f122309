"""Compare the data that arrived with the application's own counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from assay.cli._demo.application import CHECKPOINTS, WorkloadResult
from assay.cli._demo.arrivals import Series, Spans
from assay.cli._demo.programs import POOL_SERVICE, ProgramResults
from assay.semconv import CATALOGUE

RUN_SUCCEEDED = "SUCCESS"


def series_mismatches(workload: WorkloadResult, series: Series) -> list[str]:
    """Return a line for each series whose value differs from the count in Dagster's event log."""
    expected = dict(_expected_by_asset(workload))
    found = {name: series.by(name, "asset") for name in expected}
    lines = [
        f"{name}{{asset={asset!r}}}: the app counted {expected[name][asset]}, arrived {found[name][asset]}"
        for name in expected
        for asset in sorted(expected[name].keys() | found[name].keys())
        if expected[name][asset] != found[name][asset]
    ]
    totals = dict(_expected_totals(workload))
    lines += [
        f"{name}: the app counted {count}, arrived {series.total(name)}"
        for name, count in totals.items()
        if series.total(name) != count
    ]
    return lines


def _expected_by_asset(workload: WorkloadResult) -> Iterator[tuple[str, Counter[str]]]:
    # An asset check has its own step in Dagster's log, but it is not a materialization.
    checks = set(workload.assets["checked"])

    def counted(*kinds: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for kind in kinds:
            total.update({asset: n for asset, n in workload.assets[kind].items() if asset not in checks})
        return total

    prefix = "flowstone_materialization"
    yield f"{prefix}_start_count_total", counted("started")
    yield f"{prefix}_stop_count_total", counted("succeeded", "failed", "retried")
    yield f"{prefix}_exception_count_total", counted("failed", "retried")
    yield f"{prefix}_duration_milliseconds_count", counted("started")
    yield "flowstone_io_store_count_total", counted("stored")
    yield "flowstone_io_store_duration_milliseconds_count", counted("stored")
    yield "flowstone_error_count_total", counted("failed", "retried")


def _expected_totals(workload: WorkloadResult) -> Iterator[tuple[str, int]]:
    yield "flowstone_io_load_count_total", workload.total("loaded")
    yield "flowstone_io_load_duration_milliseconds_count", workload.total("loaded")
    for decision, count in CHECKPOINTS.items():
        yield f"flowstone_checkpoint_{decision}_count_total", count
    yield "flowstone_checkpoint_approval_time_seconds_count", CHECKPOINTS["requested"]


def span_mismatches(workload: WorkloadResult, spans: Spans) -> list[str]:
    """Return a line for each event with another number of spans, and for each run with several traces."""
    checks = workload.total("checked")
    expected = {
        "flowstone.run": len(workload.runs),
        "flowstone.materialization": workload.total("started") - checks,
        "flowstone.io.load": workload.total("loaded"),
        "flowstone.io.store": workload.total("stored"),
    }
    lines = [
        f"spans {event}: the app counted {count}, arrived {spans.events[event]}"
        for event, count in expected.items()
        if spans.events[event] != count
    ]
    lines += [
        f"run {run_id}: its spans are in {len(spans.runs.get(run_id, ()))} traces, not in one"
        for run_id in workload.runs
        if len(spans.runs.get(run_id, ())) != 1
    ]
    return lines


def expected_records(workload: WorkloadResult) -> int:
    """Return the number of audit records that the work must cause: two a run, triggers, and decisions."""
    return 2 * len(workload.runs) + workload.sensor["triggers"] + sum(CHECKPOINTS.values())


def program_mismatches(results: ProgramResults, series: Series) -> list[str]:
    """Return a line for each series that differs from what git, the API server and the pool have recorded."""
    requests = series.by("snakepit_requests_total", "job")[POOL_SERVICE]
    git = series.by("alumiini_git_operations_total", "operation")
    applies = series.by("alumiini_resources_applied_total", "resource_kind")
    counts = (
        ("alumiini_git_operations_total", results.git, git),
        ("alumiini_resources_applied_total", results.applies, applies),
        (
            "snakepit_requests_total",
            Counter({POOL_SERVICE: results.tasks}),
            Counter({POOL_SERVICE: requests}),
        ),
    )
    return [
        f"{name} of {key}: recorded {recorded[key]}, arrived {arrived[key]}"
        for name, recorded, arrived in counts
        for key in sorted(recorded.keys() | arrived.keys())
        if recorded[key] != arrived[key]
    ]


def stored_mismatches(stored: Mapping[tuple[str, str], int], logs: Counter[str]) -> list[str]:
    """Return a line for each audited event with another number of audit records than of log events."""
    by_name: Counter[str] = Counter()
    for (name, _), count in stored.items():
        by_name[name] += count
    audited = [name for name, event in CATALOGUE.events.items() if event.audit is not None]
    return [
        f"audit {name}: {logs[name]} log events, {by_name[name]} records"
        for name in audited
        if by_name[name] != logs[name]
    ]


def accepted_mismatches(workload: WorkloadResult, accepted: int) -> list[str]:
    """Return a line if the application's counter of accepted audit records differs from the work."""
    expected = expected_records(workload)
    return [] if accepted == expected else [f"audit records: expected {expected}, accepted {accepted}"]


def audit_mismatches(workload: WorkloadResult, stored: Mapping[tuple[str, str], int]) -> list[str]:
    """Return a line for each run, trigger and decision that is not in the audit log exactly once.

    Args:
        workload: The application's own counts.
        stored: (event name, target id) to the number of records in the log.
    """
    expected: dict[tuple[str, str], int] = {}
    for run_id, run in workload.runs.items():
        ended = "stop" if run["status"] == RUN_SUCCEEDED else "exception"
        expected["flowstone.run.start", run_id] = 1
        expected[f"flowstone.run.{ended}", run_id] = 1
    lines = [
        f"audit {name} of {target}: expected {count}, stored {stored.get((name, target), 0)}"
        for (name, target), count in expected.items()
        if stored.get((name, target), 0) != count
    ]
    by_name: Counter[str] = Counter()
    for (name, _), count in stored.items():
        by_name[name] += count
    counts = {f"flowstone.checkpoint.{decision}": n for decision, n in CHECKPOINTS.items()}
    counts["flowstone.sensor.trigger"] = workload.sensor["triggers"]
    lines += [
        f"audit {name}: expected {count}, stored {by_name[name]}"
        for name, count in counts.items()
        if by_name[name] != count
    ]
    return lines


def cdevent_mismatches(workload: WorkloadResult, types: Counter[str]) -> list[str]:
    """Return a line for each type of CDEvent with another number of events than expected."""
    checks = workload.total("checked")
    started = workload.total("started") - checks
    expected = {
        "dev.cdevents.pipelinerun.started": len(workload.runs),
        "dev.cdevents.pipelinerun.finished": len(workload.runs),
        "dev.cdevents.taskrun.started": started,
        "dev.cdevents.taskrun.finished": started,
        **{f"dev.cdeventsx.flowstone-checkpoint.{name}": count for name, count in CHECKPOINTS.items()},
    }
    # A type ends with its version, which `count_invalid` checks.
    found = Counter[str]()
    for name, count in types.items():
        found[".".join(name.split(".")[:-3])] += count
    return [
        f"CDEvents {name}: expected {count}, sent {found[name]}"
        for name, count in expected.items()
        if found[name] != count
    ]
