"""What must have arrived, by the application's own count, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from assay.cli._demo.application import CHECKPOINTS, Report
from assay.cli._demo.arrivals import Series, Spans

ENDED_WELL = "SUCCESS"


def series_mismatches(report: Report, series: Series) -> list[str]:
    """Return a line for each series whose values are not what Dagster's event log counts."""
    expected = dict(_expected_by_asset(report))
    found = {name: series.by(name, "asset") for name in expected}
    lines = [
        f"{name}{{asset={asset!r}}}: the app counted {expected[name][asset]}, arrived {found[name][asset]}"
        for name in expected
        for asset in sorted(expected[name].keys() | found[name].keys())
        if expected[name][asset] != found[name][asset]
    ]
    totals = dict(_expected_totals(report))
    lines += [
        f"{name}: the app counted {count}, arrived {series.total(name)}"
        for name, count in totals.items()
        if series.total(name) != count
    ]
    return lines


def _expected_by_asset(report: Report) -> Iterator[tuple[str, Counter[str]]]:
    # A check has a step of its own in Dagster's log, and is no materialization.
    checks = set(report.assets["checked"])

    def counted(*kinds: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for kind in kinds:
            total.update({asset: n for asset, n in report.assets[kind].items() if asset not in checks})
        return total

    prefix = "flowstone_materialization"
    yield f"{prefix}_start_count_total", counted("started")
    yield f"{prefix}_stop_count_total", counted("succeeded", "failed", "retried")
    yield f"{prefix}_exception_count_total", counted("failed", "retried")
    yield f"{prefix}_duration_milliseconds_count", counted("started")
    yield "flowstone_io_store_count_total", counted("stored")
    yield "flowstone_io_store_duration_milliseconds_count", counted("stored")
    yield "flowstone_error_count_total", counted("failed", "retried")


def _expected_totals(report: Report) -> Iterator[tuple[str, int]]:
    yield "flowstone_io_load_count_total", report.total("loaded")
    yield "flowstone_io_load_duration_milliseconds_count", report.total("loaded")
    for decision, count in CHECKPOINTS.items():
        yield f"flowstone_checkpoint_{decision}_count_total", count
    yield (
        "flowstone_checkpoint_approval_time_seconds_count",
        CHECKPOINTS["approved"] + CHECKPOINTS["rejected"],
    )


def span_mismatches(report: Report, spans: Spans) -> list[str]:
    """Return a line for each kind of span that is missing or too many, and for each run in several traces."""
    checks = report.total("checked")
    expected = {
        "flowstone.run": len(report.runs),
        "flowstone.materialization": report.total("started") - checks,
        "flowstone.io.load": report.total("loaded"),
        "flowstone.io.store": report.total("stored"),
    }
    lines = [
        f"spans {name}: the app counted {count}, arrived {spans.names[name]}"
        for name, count in expected.items()
        if spans.names[name] != count
    ]
    lines += [
        f"run {run_id}: its spans are in {len(spans.runs.get(run_id, ()))} traces, not in one"
        for run_id in report.runs
        if len(spans.runs.get(run_id, ())) != 1
    ]
    return lines


def audited(report: Report) -> int:
    """Return how many records the application's work must have made: each run twice, triggers, decisions."""
    return 2 * len(report.runs) + report.sensor["triggers"] + sum(CHECKPOINTS.values())


def audit_mismatches(report: Report, stored: Mapping[tuple[str, str], int]) -> list[str]:
    """Return a line for each run, trigger and decision that is not in the audit log exactly once.

    Args:
        report: What the application counted.
        stored: (event name, target id) to how many records the log has.
    """
    expected: dict[tuple[str, str], int] = {}
    for run_id, run in report.runs.items():
        ended = "stop" if run["status"] == ENDED_WELL else "exception"
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
    counts["flowstone.sensor.trigger"] = report.sensor["triggers"]
    lines += [
        f"audit {name}: expected {count}, stored {by_name[name]}"
        for name, count in counts.items()
        if by_name[name] != count
    ]
    return lines


def cdevent_mismatches(report: Report, types: Counter[str]) -> list[str]:
    """Return a line for each type of CDEvent of which there are too few or too many."""
    checks = report.total("checked")
    started = report.total("started") - checks
    expected = {
        "dev.cdevents.pipelinerun.started": len(report.runs),
        "dev.cdevents.pipelinerun.finished": len(report.runs),
        "dev.cdevents.taskrun.started": started,
        "dev.cdevents.taskrun.finished": started,
        **{f"dev.cdeventsx.flowstone-checkpoint.{name}": count for name, count in CHECKPOINTS.items()},
    }
    # The version ends a type; which one it is, the models have checked.
    found = Counter[str]()
    for name, count in types.items():
        found[".".join(name.split(".")[:-3])] += count
    return [
        f"CDEvents {name}: expected {count}, sent {found[name]}"
        for name, count in expected.items()
        if found[name] != count
    ]
