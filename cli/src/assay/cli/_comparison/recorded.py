"""Read the facts of Dagster's own record, with Dagster's own API."""

# pyright: basic
# Dagster types only some of its classes: strict checking would report errors of Dagster, not of this file.

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from assay.cli._comparison.facts import AUDIT, CDEVENT, LOG, SERIES, SPAN, Fact, Facts
from assay.cli._comparison.recorded_links import links

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterInstance, DagsterRun

ENDS = {"PIPELINE_SUCCESS": "stop", "PIPELINE_FAILURE": "exception", "PIPELINE_CANCELED": "canceled"}
"""The events that end a run, and the bus events that report them."""
OUTCOMES = {"stop": "success", "exception": "failure", "canceled": "cancel"}
"""The outcome of the CDEvent that ends a run or a task."""
STARTS, FAILURES = ("STEP_START", "STEP_RESTARTED"), ("STEP_FAILURE", "STEP_UP_FOR_RETRY")
SUCCEEDED, TRIED_AGAIN = "STEP_SUCCESS", "STEP_UP_FOR_RETRY"
INTERRUPTED = "DagsterExecutionInterruptedError"
TRANSFERS = {"HANDLED_OUTPUT": "io.store", "LOADED_INPUT": "io.load"}
FAILED_TRANSFERS = {
    "DagsterExecutionHandleOutputError": "io.store",
    "DagsterExecutionLoadInputError": "io.load",
}
"""The classes of errors that Dagster records for failures of IO managers."""
BLOCKED = "Step blocked by limit for pool"
"""Begin of the message of the event that a step waits for a slot; Dagster repeats it with another message."""
BACKFILL_ENDS = {
    "COMPLETED": "success",
    "COMPLETED_SUCCESS": "success",
    "COMPLETED_FAILED": "failure",
    "FAILED": "failure",
    "CANCELED": "canceled",
}
"""Dagster's final statuses of a backfill, and the status of the event that reports it."""
OF_ASSETS = {
    "ASSET_OBSERVATION": "asset.observed",
    "ASSET_FAILED_TO_MATERIALIZE": "asset.failed_to_materialize",
}
"""Events that are reported one to one, by run, asset and partition."""
OTHERS = {
    "PIPELINE_DEQUEUED": "run.dequeued",
    "PIPELINE_CANCELING": "run.canceling",
    "STEP_SKIPPED": "step.skipped",
    "HOOK_COMPLETED": "hook.completed",
    "HOOK_SKIPPED": "hook.skipped",
    "HOOK_ERRORED": "hook.errored",
}
"""Events that are reported one to one, by run and step."""
OF_DBT: Mapping[str, Callable[[Any], Any]] = {
    "ASSET_MATERIALIZATION": attrgetter("materialization"),
    "ASSET_OBSERVATION": attrgetter("asset_observation"),
    "ASSET_CHECK_EVALUATION": lambda evaluation: evaluation,
}
"""The events by which dagster-dbt records a node, and what has the node's metadata."""
NS_PER_SECOND = 1_000_000_000
PIPES_OPENED = "[pipes] external process successfully opened dagster pipes."
PIPES_FAILED = "[pipes] external process pipes closed with exception"
"""The messages by which Dagster records that an external process opened its session, and why it closed it."""


class Attempt:
    """One attempt at a step.

    Args:
        pid: The process that started it.

    Attributes:
        made: The asset partitions that it materialized.
        observed: The assets that it observed.
        evaluated: The checks that it evaluated, as asset and name.
        end: The bus event's phase that ends what it did not make: `skipped`, `exception` or `canceled`; empty
            while it runs.
        is_tried_again: Whether Dagster retries the step.
        is_recorded: Whether the step's own process recorded its end: the spans of a killed process are lost.
    """

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        self.made: set[tuple[str, str]] = set()
        self.observed: set[str] = set()
        self.evaluated: set[tuple[str, str]] = set()
        self.end = ""
        self.is_tried_again = False
        self.is_recorded = False

    def finish(self, event: DagsterEvent) -> None:
        """Take the end of the step, unless the run ended before."""
        self.is_recorded = self.pid == event.pid
        if self.end:
            return
        if event.event_type_value == SUCCEEDED:
            self.end = "skipped"
        else:
            self.end = "canceled" if _error_class(event) == INTERRUPTED else "exception"
            self.is_tried_again = event.event_type_value == TRIED_AGAIN


class RunRecord:
    """The events of one run.

    The first event that ends a run counts: the process that Dagster gave up may record another end later.

    Args:
        run: The run.
        instance: The instance that stores it.
    """

    def __init__(self, run: DagsterRun, instance: DagsterInstance) -> None:
        self.id: str = run.run_id
        self.parent: str = run.parent_run_id or ""
        self.retry: str = run.tags.get("dagster/retry_number", "")
        self.end = ""
        self.planned: dict[str, list[tuple[str, str]]] = {}
        self.planned_checks: dict[str, list[tuple[str, str]]] = {}
        self.attempts: dict[str, list[Attempt]] = {}
        entries = instance.all_logs(run.run_id)
        self.events: list[DagsterEvent] = [each.dagster_event for each in entries if each.dagster_event]
        lines = [each for each in entries if not each.dagster_event and int(each.level) >= logging.INFO]
        self.lines: list[str] = [each.user_message for each in lines]
        for event in self.events:
            self._add(event)

    def count(self, kind: str) -> int:
        """Return the number of the run's events of a kind."""
        return sum(event.event_type_value == kind for event in self.events)

    def _add(self, event: DagsterEvent) -> None:
        kind, step = event.event_type_value, event.step_key or ""
        if kind == "ASSET_MATERIALIZATION_PLANNED":
            self.planned.setdefault(step, []).extend(_planned(event))
        elif kind == "ASSET_CHECK_EVALUATION_PLANNED":
            check = _data(event).asset_key.to_user_string(), _data(event).check_name
            self.planned_checks.setdefault(step, []).append(check)
        elif kind in ENDS and not self.end:
            self._end(ENDS[kind])
        elif kind in STARTS:
            self.attempts.setdefault(step, []).append(Attempt(event.pid))
        elif step in self.attempts:
            self._continue(self.attempts[step][-1], event)

    @staticmethod
    def _continue(attempt: Attempt, event: DagsterEvent) -> None:
        kind = event.event_type_value
        if kind in {*FAILURES, SUCCEEDED}:
            attempt.finish(event)
        elif attempt.end:
            return  # its end has counted what it had not made by then
        elif kind == "ASSET_MATERIALIZATION":
            attempt.made.add(_materialized(event))
        elif kind == "ASSET_OBSERVATION":
            attempt.observed.add(_key(event))
        elif kind == "ASSET_CHECK_EVALUATION":
            attempt.evaluated.add((_data(event).asset_key.to_user_string(), _data(event).check_name))

    def _end(self, end: str) -> None:
        """End the run, and with it the attempts whose processes did not end them.

        Of several attempts at a step, such as those of a resumed run, the last one is open.
        """
        self.end = end
        for attempts in self.attempts.values():
            if not attempts[-1].end:
                attempts[-1].end = end


def read_recorded(instance: DagsterInstance, jobs: set[str] | None = None) -> Facts:
    """Return the facts that must arrive, each under every signal that carries it.

    Args:
        instance: Dagster's instance.
        jobs: The jobs whose runs are read; None reads all runs, the ticks and the series.
    """
    facts = Facts()
    read: set[str] = set()
    for run in instance.get_runs():
        if jobs is None or run.job_name in jobs:
            read.add(run.run_id)
            record = RunRecord(run, instance)
            for read_part in (_run, _assets, _checks, _transfers, _dbt_nodes, _lines):
                for signal, fact in read_part(record):
                    facts.add(signal, fact)
            for fact in links(record, run, instance):
                facts.add(SPAN, fact)
    for signal, fact in _ticks(instance):
        if jobs is None or fact.run in read:
            facts.add(signal, fact)
    if jobs is None:
        for fact in (*_backfills(instance), *_daemons(instance)):
            facts.add(LOG, fact)
        _add_series(facts)
    return facts


def _run(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield a run's one trace, its queueing, its one start and its one end."""
    # The request of a run is in its trace, also if it never starts.
    yield SPAN, Fact("trace", record.id, detail="1 of the run")
    for _ in range(record.count("PIPELINE_ENQUEUED")):
        yield from _in_three_signals(record.id, "queued", "queued", "")
    if record.count("PIPELINE_START"):
        yield from _in_three_signals(record.id, "start", "started", "")
    if record.end:
        yield from _in_three_signals(record.id, record.end, "finished", OUTCOMES[record.end])
        yield SPAN, Fact("run", record.id, detail=f"{record.end} error={record.end == 'exception'}")
    for event in record.events:
        kind = OTHERS.get(event.event_type_value)
        if kind is not None:
            yield LOG, Fact(kind, record.id, detail=event.step_key or "")
        if kind == "run.canceling":
            yield AUDIT, Fact(kind, record.id)
        if (event.message or "").startswith(BLOCKED) and event.event_type_value == "ENGINE_EVENT":
            pool = _data(event).metadata["pool"].value
            yield LOG, Fact("pool.blocked", record.id, detail=f"{event.step_key} {pool}")
    if record.retry:
        yield LOG, Fact("run.retry", record.parent, detail=f"{record.id} {record.retry}")


def _in_three_signals(run: str, event: str, predicate: str, outcome: str) -> Iterator[tuple[str, Fact]]:
    yield LOG, Fact(f"run.{event}", run)
    yield AUDIT, Fact(f"run.{event}", run)
    yield CDEVENT, Fact(f"pipelinerun.{predicate}", run, detail=outcome)


def _assets(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield each asset partition's starts, materializations, failed attempts, retries and observations."""
    for event in record.events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            yield from _ended(record.id, _materialized(event), "stop")
        elif event.event_type_value in OF_ASSETS:
            kind = OF_ASSETS[event.event_type_value]
            yield LOG, Fact(kind, record.id, _key(event), event.partition or "")
    for step, attempts in record.attempts.items():
        for attempt in attempts:
            for asset in record.planned.get(step, []):
                if asset[0] in attempt.observed:
                    continue  # Dagster plans observations as if they were materializations
                yield LOG, Fact("materialization.start", record.id, *asset)
                yield CDEVENT, Fact("taskrun.started", record.id, *asset)
                if asset not in attempt.made and attempt.end:
                    yield from _ended(record.id, asset, attempt.end)
                    if attempt.is_tried_again:
                        yield LOG, Fact("materialization.retry", record.id, *asset)


def _ended(run: str, asset: tuple[str, str], end: str) -> Iterator[tuple[str, Fact]]:
    yield LOG, Fact(f"materialization.{end}", run, *asset)
    yield CDEVENT, Fact("taskrun.finished", run, *asset, OUTCOMES.get(end, "cancel"))
    if end in {"stop", "exception"}:
        yield SPAN, Fact("materialization", run, *asset, OUTCOMES[end])


def _checks(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield the evaluations of checks, and the checks of failed attempts that have none."""
    for event in record.events:
        data = _data(event)
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            asset, partition = data.asset_key.to_user_string(), getattr(data, "partition", None) or ""
            detail = f"{data.check_name} passed={data.passed} {data.severity.value}"
            yield LOG, Fact("asset_check.evaluated", record.id, asset, partition, detail)
        elif event.event_type_value == "STEP_EXPECTATION_RESULT":
            result = data.expectation_result
            yield LOG, Fact("step.expectation", record.id, detail=f"{result.label} passed={result.success}")
    for step, checks in record.planned_checks.items():
        for attempt in record.attempts.get(step, []):
            if attempt.end == "exception" and step not in record.planned:
                for asset, check in checks:
                    if (asset, check) not in attempt.evaluated:
                        yield LOG, Fact("asset_check.exception", record.id, asset, detail=check)


def _transfers(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    for event in record.events:
        kind = event.event_type_value
        if kind in TRANSFERS:
            yield SPAN, Fact(TRANSFERS[kind], record.id, detail=_data(event).manager_key)
        elif kind in FAILURES and _error_class(event) in FAILED_TRANSFERS:
            yield SPAN, Fact(FAILED_TRANSFERS[_error_class(event)], record.id, detail="failed")


def _dbt_nodes(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield the nodes of dbt, each with the time that dbt took for it."""
    for event in record.events:
        part = OF_DBT.get(event.event_type_value)
        if part is None:
            continue
        recorded = part(_data(event))
        values = (recorded.metadata.get(key) for key in ("unique_id", "Execution Duration"))
        node, seconds = (getattr(each, "value", None) for each in values)
        if isinstance(node, str) and isinstance(seconds, float):
            detail = f"{node} {int(seconds * NS_PER_SECOND)} ns"
            yield SPAN, Fact("dbt_node", record.id, recorded.asset_key.to_user_string(), detail=detail)


def _lines(record: RunRecord) -> Iterator[tuple[str, Fact]]:
    """Yield the lines of `context.log`, and what Dagster records of external processes.

    OpenTelemetry's handler takes lines from level INFO on.
    """
    for line in record.lines:
        yield LOG, Fact("line", record.id, detail=line)
        if line == PIPES_OPENED:
            yield LOG, Fact("pipes.message", record.id, detail="opened")
    for event in record.events:
        if event.message == PIPES_FAILED:
            yield LOG, Fact("pipes.failed", record.id)


def _ticks(instance: DagsterInstance) -> Iterator[tuple[str, Fact]]:
    for state in instance.all_instigator_state():
        is_schedule = state.instigator_type.value == "SCHEDULE"
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id):
            status = tick.status.value.lower()
            if status == "started":
                continue
            yield SPAN, Fact("tick", detail=f"{tick.instigator_name} {status} runs={len(tick.run_ids)}")
            if is_schedule:
                yield LOG, Fact("schedule.tick", detail=tick.instigator_name)
            for run in tick.run_ids:
                kind = "schedule.trigger" if is_schedule else "sensor.trigger"
                yield LOG, Fact(kind, run, detail=tick.instigator_name)


def _backfills(instance: DagsterInstance) -> Iterator[Fact]:
    from dagster import RunsFilter  # noqa: PLC0415 - the command starts without Dagster

    for backfill in instance.get_backfills():
        yield Fact("backfill.requested", detail=backfill.backfill_id)
        if instance.get_runs_count(RunsFilter(tags={"dagster/backfill": backfill.backfill_id})):
            yield Fact("backfill.started", detail=backfill.backfill_id)
        end = BACKFILL_ENDS.get(backfill.status.value)
        if end is not None:
            yield Fact("backfill.finished", detail=f"{backfill.backfill_id} {end}")


def _daemons(instance: DagsterInstance) -> Iterator[Fact]:
    for daemon, heartbeat in instance.get_daemon_heartbeats().items():
        yield Fact("daemon.heartbeat", detail=f"{daemon} healthy={not heartbeat.errors}")


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


def _key(event: DagsterEvent) -> str:
    return event.asset_key.to_user_string() if event.asset_key else ""


def _materialized(event: DagsterEvent) -> tuple[str, str]:
    data = _data(event).materialization
    return data.asset_key.to_user_string(), data.partition or ""


def _error_class(event: DagsterEvent) -> str:
    """Return the name of the class of a failed step's error; empty if the event has none."""
    error = getattr(_data(event), "error", None)
    return (error.cls_name or "") if error is not None else ""
