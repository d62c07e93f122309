"""Read the facts at the far end: the files and the audit log of `assay up`, and a page of its series."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._comparison.facts import AUDIT, CDEVENT, LOG, SERIES, SPAN, Fact, Facts
from assay.cli._folder import Folder
from assay.semconv import attributes as keys

PREFIX = "flowstone."
LOG_EVENTS = (
    *(
        "run.queued",
        "run.dequeued",
        "run.canceling",
        "run.start",
        "run.stop",
        "run.exception",
        "run.canceled",
        "run.retry",
    ),
    *("pool.blocked", "asset.failed_to_materialize", "backfill.requested"),
    *("backfill.started", "backfill.finished"),
    *("materialization.start", "materialization.stop", "materialization.exception", "materialization.retry"),
    *("materialization.canceled", "materialization.skipped", "asset.observed"),
    *("asset_check.evaluated", "asset_check.exception"),
    *("step.skipped", "step.expectation", "hook.completed", "hook.skipped", "hook.errored"),
    *("sensor.trigger", "schedule.trigger", "schedule.tick"),
    *("pipes.message", "pipes.failed"),
)
"""The log events that are compared. Of the messages of Pipes Dagster itself records that one was opened."""
HEARTBEAT = "flowstone.daemon.heartbeat"
DETAILS: Mapping[str, tuple[str, ...]] = {
    keys.FLOWSTONE_CHECK: ("asset_check.",),
    keys.FLOWSTONE_EXPECTATION: ("step.expectation",),
    keys.FLOWSTONE_SENSOR: ("sensor.",),
    keys.FLOWSTONE_SCHEDULE: ("schedule.",),
    keys.FLOWSTONE_STEP_KEY: ("step.skipped", "hook.", "pool."),
    keys.FLOWSTONE_POOL: ("pool.",),
    keys.FLOWSTONE_RETRY_RUN_ID: ("run.retry",),
    keys.FLOWSTONE_RETRY_NUMBER: ("run.retry",),
    keys.FLOWSTONE_BACKFILL_ID: ("backfill.",),
    keys.FLOWSTONE_STATUS: ("backfill.",),
    keys.FLOWSTONE_PIPES_METHOD: ("pipes.message",),
}
"""The attributes that distinguish log events, and the events that have them."""
RESULTS = {"success": "stop", "failure": "exception", "cancellation": "canceled"}
"""The value of `cicd.pipeline.result`, and the event that ended the run."""
LINES_SCOPE = "dagster"
"""The scope of the lines of `context.log`: the name of Dagster's logger."""
SERIES_OF = {
    "flowstone_materialization_start_count_total": "materialization.start",
    "flowstone_materialization_stop_count_total": "materialization.end",
    "flowstone_io_load_count_total": "io.load",
    "flowstone_io_store_count_total": "io.store",
}
"""The series that are compared."""


def read_arrived(folder: Folder) -> Facts:
    """Return the facts that arrived in a folder of `assay up`; its services may still run."""
    facts = Facts()
    for fact in (*_log_events(folder), *_lines(folder), *_daemons(folder)):
        facts.add(LOG, fact)
    for fact in _spans(folder):
        facts.add(SPAN, fact)
    for fact in _audit_records(folder):
        facts.add(AUDIT, fact)
    for fact in _cdevents(folder):
        facts.add(CDEVENT, fact)
    for fact, number in _series(folder):
        facts.add(SERIES, fact, number)
    return facts


def _log_events(folder: Folder) -> Iterator[Fact]:
    for line in otlp_lines.read_lines(folder.logs):
        for _, record in otlp_lines.log_records(line):
            kind, found = record.get("eventName", "").removeprefix(PREFIX), otlp_lines.attributes(record)
            if kind in LOG_EVENTS and found.get(keys.FLOWSTONE_PIPES_METHOD, "opened") == "opened":
                yield _fact(kind, found)


def _lines(folder: Folder) -> Iterator[Fact]:
    """Yield the lines of `context.log`; the span that is current where one is written names the run."""
    runs = {span["spanId"]: run for span, run in _spans_of_runs(folder)}
    for line in otlp_lines.read_lines(folder.logs):
        for scope, record in otlp_lines.log_records(line):
            if scope == LINES_SCOPE and record.get("spanId") in runs:
                yield Fact("line", runs[record["spanId"]], detail=record["body"]["stringValue"])


def _daemons(folder: Folder) -> Iterator[Fact]:
    """Yield whether the newest heartbeat of each daemon had no errors; Dagster keeps no other."""
    newest: dict[str, tuple[int, bool]] = {}
    for line in otlp_lines.read_lines(folder.logs):
        for _, record in otlp_lines.log_records(line):
            if record.get("eventName") == HEARTBEAT:
                found = otlp_lines.attributes(record)
                beat = int(record["timeUnixNano"]), bool(found[keys.FLOWSTONE_HEALTHY])
                daemon = _text(found, keys.FLOWSTONE_DAEMON)
                newest[daemon] = max(beat, newest.get(daemon, beat))
    for daemon, (_, is_healthy) in newest.items():
        yield Fact("daemon.heartbeat", detail=f"{daemon} healthy={is_healthy}")


def _spans_of_runs(folder: Folder) -> Iterator[tuple[Mapping[str, Any], str]]:
    for line in otlp_lines.read_lines(folder.traces):
        for _, span in otlp_lines.spans(line):
            if run := _text(otlp_lines.attributes(span), keys.FLOWSTONE_RUN_ID):
                yield span, run


def _fact(kind: str, found: Mapping[str, Any]) -> Fact:
    """Return the fact of a log event."""
    detail = " ".join(
        text for key, name in DETAILS.items() if kind.startswith(name) and (text := _text(found, key))
    )
    if keys.FLOWSTONE_PASSED in found:
        detail = f"{detail} passed={found[keys.FLOWSTONE_PASSED]}"
    if kind == "asset_check.evaluated":
        detail = f"{detail} {found.get(keys.FLOWSTONE_SEVERITY)}"
    return Fact(
        kind,
        "" if kind == "schedule.tick" else _text(found, keys.FLOWSTONE_RUN_ID),
        _text(found, keys.FLOWSTONE_ASSET),
        "" if kind.startswith("run.") else _text(found, keys.FLOWSTONE_PARTITION),
        detail,
    )


def _spans(folder: Folder) -> Iterator[Fact]:
    traces: dict[str, set[str]] = {}
    for line in otlp_lines.read_lines(folder.traces):
        for _, span in otlp_lines.spans(line):
            found = otlp_lines.attributes(span)
            run = _text(found, keys.FLOWSTONE_RUN_ID)
            if run:
                traces.setdefault(run, set()).add(span["traceId"])
            event = otlp_lines.span_event(span).removeprefix(PREFIX)
            yield from _span(event, span, found)
            for link in span.get("links", ()):
                yield from _link(event, found, otlp_lines.attributes(link))
    for run, of_run in traces.items():
        yield Fact("trace", run, detail=f"{len(of_run)} of the run")


def _span(event: str, span: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Fact]:
    run = _text(found, keys.FLOWSTONE_RUN_ID)
    failed = span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")
    if event == "run":
        # The span of an execution that was given up has no result: another process reports the run's end.
        if result := _text(found, keys.CICD_PIPELINE_RESULT):
            yield Fact("run", run, detail=f"{RESULTS.get(result, result)} error={failed}")
    elif event == "materialization":
        asset, partition = _text(found, keys.FLOWSTONE_ASSET), _text(found, keys.FLOWSTONE_PARTITION)
        status = "failure" if failed else _text(found, keys.FLOWSTONE_STATUS) or "success"
        if status in {"success", "failure"}:  # a span can also end as canceled, or without a result
            yield Fact("materialization", run, asset, partition, status)
    elif event == "tick":
        detail = f"{found.get(keys.FLOWSTONE_INSTIGATOR)} {found.get(keys.FLOWSTONE_STATUS)}"
        yield Fact("tick", detail=f"{detail} runs={_runs_of(found)}")
    elif event == "dbt_node":
        duration = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
        yield Fact(event, run, _text(found, keys.FLOWSTONE_ASSET), detail=f"{span['name']} {duration} ns")
    elif event in {"io.load", "io.store"}:
        run = run or _text(found, keys.ASSAY_CORRELATION_ID)
        yield Fact(event, run, detail="failed" if failed else _text(found, keys.FLOWSTONE_IO_MANAGER))


def _link(event: str, found: Mapping[str, Any], link: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield a link of a step or a materialization; not to a partition, or to a step of another run."""
    run, linked_run = _text(found, keys.FLOWSTONE_RUN_ID), _text(link, keys.FLOWSTONE_RUN_ID)
    relation, linked = _text(link, keys.FLOWSTONE_RELATION), _text(link, keys.FLOWSTONE_STEP_KEY)
    if event == "step" and linked_run in {"", run}:
        yield Fact("link", run, detail=f"{_text(found, keys.FLOWSTONE_STEP_KEY)} {relation} {linked}")
    elif event == "materialization" and keys.FLOWSTONE_PARTITION not in link:
        asset, partition = _text(found, keys.FLOWSTONE_ASSET), _text(found, keys.FLOWSTONE_PARTITION)
        linked = f"{_text(link, keys.FLOWSTONE_ASSET)} of {linked_run}"
        yield Fact("link", run, asset, partition, f"{relation} {linked}")


def _audit_records(folder: Folder) -> Iterator[Fact]:
    if not folder.database.exists():
        return
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as log:
        rows = log.execute("SELECT event_type, resource_id FROM flowstone_audit_log").fetchall()
    for event, target in rows:
        kind = str(event).removeprefix(PREFIX)
        if kind.startswith("run.") and kind in LOG_EVENTS:
            yield Fact(kind, target or "")


def _cdevents(folder: Folder) -> Iterator[Fact]:
    for line in otlp_lines.read_lines(folder.cdevents):
        data = json.loads(line)["data"]
        kind = ".".join(data["context"]["type"].removeprefix("dev.cdevents.").split(".")[:2])
        subject, content = data["subject"]["id"], data["subject"].get("content", {})
        outcome = content.get("outcome", "")
        if kind.startswith("pipelinerun."):
            yield Fact(kind, subject, detail=outcome)
        elif kind.startswith("taskrun."):
            run, asset = content.get("pipelineRun", {}).get("id", ""), content.get("taskName", "")
            partition = subject.removeprefix(f"{run}/{asset}").removeprefix("/")
            yield Fact(kind, run, asset, partition, outcome)


def _series(folder: Folder) -> Iterator[tuple[Fact, int]]:
    """Yield the counters of the page that was read last from the Prometheus endpoint."""
    if not folder.page.exists():
        return
    for family in text_string_to_metric_families(folder.page.read_text(encoding="utf-8")):
        for sample in family.samples:
            kind = SERIES_OF.get(sample.name)
            if kind is not None:
                yield _sample(kind, sample.labels), int(sample.value)


def _sample(kind: str, labels: Mapping[str, Any]) -> Fact:
    if kind.startswith("io."):
        return Fact(kind)
    return Fact(kind, asset=_text(labels, "asset"), detail=_text(labels, "status"))


def _runs_of(found: Mapping[str, Any]) -> int:
    """Return the number of a tick's runs."""
    ids: Mapping[str, list[object]] = found.get(keys.FLOWSTONE_RUN_IDS) or {}
    return len(ids.get("values", ()))


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return "" if value is None else str(value)
