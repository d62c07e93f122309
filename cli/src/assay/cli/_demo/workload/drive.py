"""Run the project, and write Dagster's own counts to a report.

    python -m assay.cli._demo.workload.drive REPORT.json

It runs every job once over real files, one of them in child processes, and evaluates the sensor before and
after its file exists. REPORT.json holds the counts of Dagster's event log, with which the demo compares the
data that arrived. The script uses Dagster only.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster import (
    DagsterInstance,
    EventLogEntry,
    JobDefinition,
    build_sensor_context,
    execute_job,
    reconstructable,
)

from assay.cli._demo.workload import project

# Dagster's event types, and their names in the report. Each step of this project computes one asset.
COUNTED = {
    "STEP_START": "started",
    "STEP_RESTARTED": "started",
    "STEP_SUCCESS": "succeeded",
    "STEP_FAILURE": "failed",
    "STEP_UP_FOR_RETRY": "retried",
    "HANDLED_OUTPUT": "stored",
    "LOADED_INPUT": "loaded",
    "ASSET_CHECK_EVALUATION": "checked",
}


# Dagster's own log is JSON lines too, so that standard error holds nothing else.
JSON_LOGS = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}


def intake() -> JobDefinition:
    """Return the job that collects the day's orders."""
    return project.defs.get_job_def("intake_job")


def regional() -> JobDefinition:
    """Return the job that fetches one region's orders."""
    return project.defs.get_job_def("regional_job")


def sales() -> JobDefinition:
    """Return the job that adds up each category."""
    return project.defs.get_job_def("sales_job")


def reporting() -> JobDefinition:
    """Return the job that runs in child processes."""
    return project.defs.get_job_def("reporting_job")


def ledger() -> JobDefinition:
    """Return the job that fails."""
    return project.defs.get_job_def("ledger_job")


def late() -> JobDefinition:
    """Return the job that the sensor requests."""
    return project.defs.get_job_def("late_job")


def run(job: Callable[[], JobDefinition], instance: DagsterInstance, tags: dict[str, str]) -> None:
    """Execute one job; a failed run is expected, and not an error of this script."""
    recipe = reconstructable(job)
    with execute_job(recipe, instance=instance, run_config=JSON_LOGS, tags=tags, raise_on_error=False):
        pass


def evaluate_sensor(instance: DagsterInstance) -> list[str]:
    """Evaluate the sensor once, run the jobs that it requests, and return the keys of these runs."""
    with build_sensor_context(instance=instance, definitions=project.defs) as context:
        tick = project.late_files.evaluate_tick(context)
    for request in tick.run_requests or ():
        # Dagster's daemon adds the name of the sensor as a tag.
        run(late, instance, {**request.tags, "dagster/sensor_name": project.late_files.name})
    return [request.run_key or "" for request in tick.run_requests or ()]


def counted(instance: DagsterInstance) -> dict[str, Any]:
    """Return the counts of Dagster's event log by kind and asset, and the status of each run."""
    counts = {kind: Counter[str]() for kind in sorted(set(COUNTED.values()))}
    runs = list(instance.get_runs())
    for dagster_run in runs:
        for entry in instance.all_logs(dagster_run.run_id):
            count(entry, counts)
    executors = {"reporting_job": "multiprocess"}
    return {
        "runs": {r.run_id: {"job": r.job_name, "status": r.status.value} for r in runs},
        "executors": sorted({executors.get(r.job_name, "in_process") for r in runs}),
        "assets": counts,
    }


def count(entry: EventLogEntry, counts: dict[str, Counter[str]]) -> None:
    """Add one entry of the event log."""
    event = entry.dagster_event
    kind = COUNTED.get(event.event_type_value) if event else None
    if event and kind and event.step_key:
        counts[kind][event.step_key] += 1


def main(report: Path) -> None:
    """Run all jobs and write the report."""
    store = Path(os.environ["DEMO_STORE"])
    instance = DagsterInstance.get()
    for region in project.REGIONS:
        run(regional, instance, {"dagster/partition": region})
    for job in (intake, sales, reporting, ledger):
        run(job, instance, {})
    polls = [evaluate_sensor(instance)]
    (store / "carrier.csv").write_text("freight,returns\n", encoding="utf-8")
    polls.append(evaluate_sensor(instance))
    facts = counted(instance)
    facts["sensor"] = {"polls": len(polls), "triggers": sum(len(keys) for keys in polls)}
    report.write_text(json.dumps(facts, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
