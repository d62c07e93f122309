"""Read the facts of Dagster's own record, with Dagster's own API."""

# pyright: basic
# Dagster types only some of its classes: strict checking would report errors of Dagster, not of this file.

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from assay.cli._comparison.facts import AUDIT, CDEVENT, LOG, SERIES, SPAN, Fact, Facts

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterInstance, DagsterRun

ENDS = {"SUCCESS": "stop", "FAILURE": "exception", "CANCELED": "canceled"}
"""The status of a finished run, and the bus event that ends it."""
OUTCOMES = {"stop": "success", "exception": "failure", "canceled": "cancel"}
"""The outcome of the CDEvent that ends a run."""
STARTS, FAILURES = ("STEP_START", "STEP_RESTARTED"), ("STEP_FAILURE", "STEP_UP_FOR_RETRY")
TRIED_AGAIN = "STEP_UP_FOR_RETRY"
TRANSFERS = {"HANDLED_OUTPUT": "io.store", "LOADED_INPUT": "io.load"}
FAILED_TRANSFERS = {
    "DagsterExecutionHandleOutputError": "io.store",
    "DagsterExecutionLoadInputError": "io.load",
}
"""The classes of errors that Dagster records for failures of IO managers."""


class Attempt:
    """One attempt at a step.

    Attributes:
        made: The asset partitions that it materialized.
        end: The event that ended it; None if its process died first.
    """

    def __init__(self) -> None:
        self.made: set[tuple[str, str]] = set()
        self.end: str | None = None


class RunRecord:
    """The events of one run.

    Args:
        run: The run.
        instance: The instance that stores it.
    """

    def __init__(self, run: DagsterRun, instance: DagsterInstance) -> None:
        self.id: str = run.run_id
        self.status: str = run.status.value
        self.planned: dict[str, list[tuple[str, str]]] = {}
        self.attempts: dict[str, list[Attempt]] = {}
        entries = instance.all_logs(run.run_id)
        self.events: list[DagsterEvent] = [each.dagster_event for each in entries if each.dagster_event]
        for event in self.events:
            self._add(event)

    def count(self, kind: str) -> int:
        """Return the number of the run's events of a kind."""
        return sum(event.event_type_value == kind for event in self.events)

    def _add(self, event: DagsterEvent) -> None:
        kind, step = event.event_type_value, event.step_key or ""
        if kind == "ASSET_MATERIALIZATION_PLANNED":
            self.planned.setdefault(step, []).extend(_planned(event))
        elif kind in STARTS:
            self.attempts.setdefault(step, []).append(Attempt())
        elif step in self.attempts:
            attempt = self.attempts[step][-1]
            if kind == "ASSET_MATERIALIZATION":
                attempt.made.add(_materialized(event))
            elif kind in {*FAILURES, "STEP_SUCCESS"}:
                attempt.end = kind


def read_recorded(instance: DagsterInstance, jobs: set[str] | None = None) -> Facts:
    """Return the facts that must arrive, each under every signal that carries it.

    Args:
        instance: Dagster's instance.
        jobs: The jobs whose runs are read; None reads all runs, the ticks and the series.
    """
    facts = Facts()
    for run in instance.get_runs():
        if jobs is None or run.job_name in jobs:
            record = RunRecord(run, instance)
            for signal, fact in (*_run(record), *_assets(record), *_checks(record), *_transfers(record)):
                facts.add(signal, fact)
    if jobs is None:
        for signal, fact in _ticks(instance):
            facts.add(signal, fact)
        _add_series(facts)
    return facts


def _run(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield a run's queueing, its one start and its one end."""
    for _ in range(record.count("PIPELINE_ENQUEUED")):
        yield from _in_three_signals(record.id, "queued", "queued", "")
    if record.count("PIPELINE_START"):
        yield from _in_three_signals(record.id, "start", "started", "")
    end = ENDS.get(record.status)
    if end is not None:
        yield from _in_three_signals(record.id, end, "finished", OUTCOMES[end])
        if record.count("PIPELINE_START"):
            yield SPAN, Fact("run", record.id, detail=f"{end} error={end == 'exception'}")
            yield SPAN, Fact("trace", record.id, detail="1 of the run")


def _in_three_signals(run: str, event: str, predicate: str, outcome: str) -> Iterator[tuple[str, Fact]]:
    yield LOG, Fact(f"run.{event}", run)
    yield AUDIT, Fact(f"run.{event}", run)
    yield CDEVENT, Fact(f"pipelinerun.{predicate}", run, detail=outcome)


def _assets(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield each asset partition's starts, materializations, failed attempts and retries."""
    for event in record.events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            yield from _ended(record.id, _materialized(event), "success")
    for step, attempts in record.attempts.items():
        planned = record.planned.get(step, [])
        for attempt in attempts:
            for asset in planned:
                if not _left_out(attempt, asset):
                    yield LOG, Fact("materialization.start", record.id, *asset)
                    yield CDEVENT, Fact("taskrun.started", record.id, asset[0])
                yield from _unmade(record, attempt, asset)


def _left_out(attempt: Attempt, asset: tuple[str, str]) -> bool:
    """Return whether a step succeeded without an asset: it was optional, and nothing was tried."""
    return attempt.end == "STEP_SUCCESS" and asset not in attempt.made


def _unmade(record: RunRecord, attempt: Attempt, asset: tuple[str, str]) -> Iterator[tuple[str, Fact]]:
    if asset in attempt.made or attempt.end == "STEP_SUCCESS":
        return
    if record.status == "CANCELED":
        yield CDEVENT, Fact("taskrun.finished", record.id, asset[0], detail="cancel")
        return
    if attempt.end is None and record.status not in ENDS:
        return
    yield from _ended(record.id, asset, "failure")
    if attempt.end == TRIED_AGAIN:
        yield LOG, Fact("materialization.retry", record.id, *asset)


def _ended(run: str, asset: tuple[str, str], outcome: str) -> Iterator[tuple[str, Fact]]:
    yield LOG, Fact(f"materialization.{'stop' if outcome == 'success' else 'exception'}", run, *asset)
    yield SPAN, Fact("materialization", run, *asset, outcome)
    yield CDEVENT, Fact("taskrun.finished", run, asset[0], detail=outcome)


def _checks(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    for event in record.events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            found = _data(event)
            yield (
                LOG,
                Fact(
                    "asset_check.evaluated",
                    record.id,
                    found.asset_key.to_user_string(),
                    getattr(found, "partition", None) or "",
                    f"{found.check_name} passed={found.passed}",
                ),
            )


def _transfers(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    for event in record.events:
        kind = event.event_type_value
        if kind in TRANSFERS:
            yield SPAN, Fact(TRANSFERS[kind], record.id, detail=_data(event).manager_key)
        elif kind in FAILURES and _error_class(event) in FAILED_TRANSFERS:
            yield SPAN, Fact(FAILED_TRANSFERS[_error_class(event)], record.id, detail="failed")


def _ticks(instance: DagsterInstance) -> Iterator[tuple[str, Fact]]:
    for state in instance.all_instigator_state():
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id):
            if state.instigator_type.value == "SCHEDULE":
                yield LOG, Fact("schedule.tick", detail=tick.instigator_name)
                continue
            for run in tick.run_ids:
                yield LOG, Fact("sensor.trigger", run, detail=tick.instigator_name)


def _add_series(facts: Facts) -> None:
    """Add the series: the facts of log events and spans, without run and partition."""
    for fact, number in list(facts.get(LOG, {}).items()):
        if fact.kind == "materialization.start":
            facts.add(SERIES, Fact(fact.kind, asset=fact.asset), number)
        elif fact.kind in {"materialization.stop", "materialization.exception"}:
            status = "success" if fact.kind == "materialization.stop" else "failure"
            facts.add(SERIES, Fact("materialization.end", asset=fact.asset, detail=status), number)
    for fact, number in list(facts.get(SPAN, {}).items()):
        if fact.kind.startswith("io."):
            facts.add(SERIES, Fact(fact.kind), number)


def _data(event: DagsterEvent) -> Any:  # noqa: ANN401 - each kind of event has its own class
    return event.event_specific_data


def _planned(event: DagsterEvent) -> list[tuple[str, str]]:
    data = _data(event)
    asset = data.asset_key.to_user_string()
    if data.partitions_subset is not None:
        return [(asset, key) for key in data.partitions_subset.get_partition_keys()]
    return [(asset, data.partition or "")]


def _materialized(event: DagsterEvent) -> tuple[str, str]:
    data = _data(event).materialization
    return data.asset_key.to_user_string(), data.partition or ""


def _error_class(event: DagsterEvent) -> str:
    """Return the name of the class of a failed step's error; empty if the event has none."""
    error = getattr(_data(event), "error", None)
    return (error.cls_name or "") if error is not None else ""
