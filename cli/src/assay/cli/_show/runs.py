"""The runs in a folder of `assay up`: Dagster runs and GitOps syncs, from their log events.

The log events of runs are complete. Their spans may not be: a span is exported when it ends, and a Collector
may sample traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from assay.cli import _otlp_lines as otlp_lines
from assay.semconv import attributes as keys

LIMIT = 1000
"""Most runs that are kept in memory, the newest."""
_NEEDLES = (b'"flowstone.run.', b'"alumiini.sync_')


class _Step(NamedTuple):
    """The kind of a run, and the state that it has after a log event."""

    kind: str
    state: str
    is_end: bool = False


_STEPS: Mapping[str, _Step] = {
    "flowstone.run.queued": _Step("run", "queued"),
    "flowstone.run.start": _Step("run", "running"),
    "flowstone.run.canceling": _Step("run", "canceling"),
    "flowstone.run.stop": _Step("run", "success", is_end=True),
    "flowstone.run.exception": _Step("run", "failure", is_end=True),
    "flowstone.run.canceled": _Step("run", "canceled", is_end=True),
    "alumiini.sync_started": _Step("sync", "running"),
    "alumiini.sync_completed": _Step("sync", "success", is_end=True),
    "alumiini.sync_failed": _Step("sync", "failure", is_end=True),
}


@dataclass
class Run:
    """A Dagster run, or a GitOps sync.

    Args:
        id: The run's id; of a sync its correlation id.
        kind: `run` or `sync`.
        name: The job, or the repository.
        outcome: `success`, `failure`, `canceled`, or the state of a run that has not ended.
        started: When it started, in Unix nanoseconds; None if it has not.
        ended: When it ended; None if it has not.
        updated: When its newest event happened.
        error: Why it failed, or empty.
        traces: The ids of its traces.
        correlation_ids: Its correlation ids, which join its audit records and name the chain of its CDEvents.
    """

    id: str
    kind: str
    name: str
    outcome: str = ""
    started: int | None = None
    ended: int | None = None
    updated: int = 0
    error: str = ""
    traces: set[str] = field(default_factory=set[str])
    correlation_ids: set[str] = field(default_factory=set[str])

    @property
    def seconds(self) -> float | None:
        """How long it took; None if that is not known."""
        return None if self.ended is None or self.started is None else (self.ended - self.started) / 1e9


def recent(logs: Path, since: int) -> list[Run]:
    """Return the runs that have had an event since a time, the one with the newest event first.

    Args:
        logs: The file of log events.
        since: Unix nanoseconds.
    """
    runs = _read(logs, _NEEDLES)
    return [run for run in _newest(runs.values()) if run.updated >= since]


def matching(logs: Path, text: str) -> list[Run]:
    """Return the runs whose id, or the id of one of whose traces, starts with a text; the newest first."""
    runs = _read(logs, (text.encode(),))
    return [
        run for run in _newest(runs.values()) if any(each.startswith(text) for each in (run.id, *run.traces))
    ]


def _read(logs: Path, needles: tuple[bytes, ...]) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for request in otlp_lines.objects_with(logs, needles):
        for _, record in otlp_lines.log_records(request):
            step = _STEPS.get(record.get("eventName", ""))
            if step is not None:
                _add(runs, step, record)
        if len(runs) > 2 * LIMIT:
            runs = {run.id: run for run in _newest(runs.values())[:LIMIT]}
    return runs


def _newest(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=attrgetter("updated"), reverse=True)


def _add(runs: dict[str, Run], step: _Step, record: Mapping[str, Any]) -> None:
    found = otlp_lines.attributes(record)
    correlation = str(found.get(keys.ASSAY_CORRELATION_ID) or "")
    run_id = str(found.get(keys.FLOWSTONE_RUN_ID) or "") if step.kind == "run" else correlation
    if not run_id:
        return
    name = found.get(keys.FLOWSTONE_JOB if step.kind == "run" else keys.ALUMIINI_REPO_NAME)
    run = runs.setdefault(run_id, Run(run_id, step.kind, str(name or "")))
    time = int(record.get("timeUnixNano") or 0)
    if step.state == "running":
        run.started = time if run.started is None else min(run.started, time)
    if record.get("traceId"):
        run.traces.add(record["traceId"])
    if correlation:
        run.correlation_ids.add(correlation)
    # Lines of several processes are not in the order of their times.
    if (time, step.is_end) >= (run.updated, run.ended is not None):
        run.updated, run.outcome = time, step.state
        run.ended = time if step.is_end else None
        run.error = _error(found) if step.state == "failure" else ""


def _error(found: Mapping[str, Any]) -> str:
    texts = (found.get(key) for key in (keys.ERROR_TYPE, keys.ASSAY_ERROR_MESSAGE))
    return ": ".join(str(text) for text in texts if text) or str(
        found.get(keys.FLOWSTONE_FAILURE_REASON) or ""
    )
