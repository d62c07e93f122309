"""The exporter with real sinks: which events arrive, in which order, how often."""

from __future__ import annotations

import importlib
import json
import sqlite3
import time

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import ValidationError

from assay.exporters.cdevents import CDEventsError, CDEventsExporter, Settings, _metrics
from assay.exporters.cdevents.dead_letters import replay
from assay.host import Retry

from .conftest import eventually, lines, logs, spans

QUICK = {"initial": 0.01, "maximum": 0.05}


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.delenv("ASSAY_REGISTRY", raising=False)
    running = []

    def starting(*sinks, **settings) -> CDEventsExporter:
        section = {"outbox": str(tmp_path / "outbox.db"), "sinks": list(sinks), **settings}
        exporter = CDEventsExporter(Settings.model_validate(section))
        running.append(exporter)
        return exporter

    yield starting
    for exporter in running:
        exporter.shutdown()


def http(url, **more):
    return {"type": "http", "url": url, "timeout": 5, "retry": QUICK, **more}


def task(number, run="r"):
    return ("flowstone.materialization.start", {"flowstone.run_id": run, "flowstone.asset": f"asset{number}"})


def subjects(documents):
    return [document["subject"] for document in documents]


def counts(exporter):
    return exporter._outbox.counts()


def test_it_is_an_exporter():
    assert CDEventsExporter.signals == {"logs", "traces"}
    assert CDEventsExporter.Settings is Settings


def test_events_reach_every_sink_that_accepts_them(start, tmp_path, endpoint):
    everything, tasks = tmp_path / "all.jsonl", tmp_path / "tasks.jsonl"
    exporter = start(
        {"type": "file", "path": str(everything)},
        {"type": "file", "path": str(tasks), "types": ["dev.cdevents.taskrun.*"], "subjects": ["*/asset1"]},
        http(endpoint.url),
    )
    exporter.export(
        logs(("flowstone.run.start", {"flowstone.run_id": "r", "flowstone.job": "nightly"}), task(1), task(2))
    )
    eventually(lambda: len(lines(everything)) == 3 and len(lines(tasks)) == 1 and len(endpoint.accepted) == 3)
    assert subjects(lines(everything)) == ["r", "r/asset1", "r/asset2"] == subjects(endpoint.bodies())
    assert subjects(lines(tasks)) == ["r/asset1"]


def test_a_repeated_batch_is_sent_once_even_after_a_restart(start, tmp_path):
    path = tmp_path / "all.jsonl"
    exporter = start({"type": "file", "path": str(path)})
    exporter.export(logs(task(1)))
    exporter.export(logs(task(1)))
    eventually(lambda: counts(exporter) == {(f"file:{path}", "sent"): 1})
    exporter.shutdown()
    again = start({"type": "file", "path": str(path)})
    again.export(logs(task(1), task(2)))
    eventually(lambda: counts(again) == {(f"file:{path}", "sent"): 2})
    assert subjects(lines(path)) == ["r/asset1", "r/asset2"]


def test_a_span_and_its_log_events_produce_one_event(start, tmp_path):
    registry, path = tmp_path / "shop.yaml", tmp_path / "all.jsonl"
    registry.write_text(REGISTRY)
    exporter = start({"type": "file", "path": str(path)}, registry=[str(registry)])
    exporter.export(logs(("shop.ship.start", {"shop.order": "7"})))
    exporter.export(spans("shop.ship", {"shop.order": "7", "shop.lost": True}))
    eventually(lambda: counts(exporter) == {(f"file:{path}", "sent"): 2})
    started, finished = (event["data"]["context"] for event in lines(path))
    assert finished["links"] == [{"linkType": "PATH", "from": {"contextId": started["id"]}, "tags": {}}]


def test_an_answer_of_500_delays_its_subject_only_and_keeps_the_order(start, endpoint):
    broken = {"on": True}
    endpoint.answer = lambda body: (
        500 if broken["on"] and json.loads(body)["subject"] == "r/bad" else 204,
        {},
    )
    exporter = start(http(endpoint.url))
    bad = {"flowstone.run_id": "r", "flowstone.asset": "bad"}
    exporter.export(
        logs(("flowstone.materialization.start", bad), task(1), ("flowstone.materialization.stop", bad))
    )
    eventually(lambda: subjects(endpoint.bodies()) == ["r/asset1"])
    eventually(lambda: len(endpoint.requests) > 4)
    broken["on"] = False
    eventually(lambda: len(endpoint.accepted) == 3)
    assert [(e["subject"], e["type"].split(".")[3]) for e in endpoint.bodies()] == [
        ("r/asset1", "started"),
        ("r/bad", "started"),
        ("r/bad", "finished"),
    ]


def test_retry_after_is_honoured(start, endpoint):
    times = []

    def answer(_):
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}) if len(times) == 1 else (204, {})

    endpoint.answer = answer
    start(http(endpoint.url)).export(logs(task(1), task(2)))
    eventually(lambda: len(endpoint.accepted) == 2)
    assert times[1] - times[0] >= 1


def test_a_refused_event_is_a_dead_letter_and_delays_no_other(start, endpoint, tmp_path):
    endpoint.answer = lambda body: (400 if json.loads(body)["subject"] == "r/asset1" else 204, {})
    exporter = start(http(endpoint.url))
    exporter.export(logs(task(1), task(2)))
    eventually(lambda: ("http:" + endpoint.url, "dead") in counts(exporter) and len(endpoint.accepted) == 1)
    [(reason, document)] = sqlite3.connect(tmp_path / "outbox.db").execute(
        "SELECT reason, document FROM dead_letter"
    )
    assert "400" in reason
    assert "because" in reason
    assert json.loads(document)["subject"] == "r/asset1"


def test_a_refused_event_is_sent_again_before_it_becomes_a_dead_letter(start, endpoint):
    answers = iter([400, 415])
    endpoint.answer = lambda _: (next(answers, 204), {})
    exporter = start(http(endpoint.url))
    exporter.export(logs(task(1), ("flowstone.materialization.stop", task(1)[1])))
    eventually(lambda: len(endpoint.accepted) == 2)
    assert [event["type"].split(".")[3] for event in endpoint.bodies()] == ["started", "finished"]


def test_replayed_dead_letters_are_sent_by_the_running_exporter(start, endpoint, tmp_path):
    answers = {"status": 400}
    endpoint.answer = lambda _: (answers["status"], {})
    exporter = start(http(endpoint.url, name="ci"))
    exporter.export(logs(task(1), task(2)))
    eventually(lambda: counts(exporter) == {("ci", "dead"): 2})
    answers["status"] = 204
    assert replay(tmp_path / "outbox.db", sink="other") == 0
    assert replay(tmp_path / "outbox.db") == 2
    eventually(lambda: counts(exporter) == {("ci", "sent"): 2})
    assert subjects(endpoint.bodies()) == ["r/asset1", "r/asset2"]


def test_dead_letters_beyond_the_limit_are_deleted_and_logged(start, endpoint, caplog):
    endpoint.answer = lambda _: (400, {})
    exporter = start(http(endpoint.url, name="ci"), retention={"dead_events": 1})
    exporter.export(logs(task(1), task(2), task(3)))
    eventually(lambda: counts(exporter) == {("ci", "dead"): 3})
    exporter._prune_at = 0.0
    exporter.export(logs())
    assert counts(exporter) == {("ci", "dead"): 1}
    assert "2 dead letters were deleted" in caplog.text


def test_a_clock_that_is_set_back_a_day_delays_no_retry(start, endpoint, monkeypatch):
    answers = iter([500])
    endpoint.answer = lambda _: (next(answers, 204), {})
    exporter = start(http(endpoint.url))
    yesterday = time.time() - 86400
    exporter.export(logs(task(1)))
    eventually(lambda: len(endpoint.requests) >= 1)
    monkeypatch.setattr(time, "time", lambda: yesterday)
    exporter.export(logs(("flowstone.materialization.stop", task(1)[1])))
    eventually(lambda: len(endpoint.accepted) == 2)


def test_after_the_limit_an_event_is_a_dead_letter(start, endpoint, tmp_path):
    endpoint.answer = lambda body: (500 if json.loads(body)["subject"] == "r/asset1" else 204, {})
    exporter = start(http(endpoint.url, retry={**QUICK, "attempts": 3}))
    exporter.export(logs(task(1), task(2)))
    eventually(
        lambda: counts(exporter).get(("http:" + endpoint.url, "dead")) == 1 and len(endpoint.accepted) == 1
    )
    [(attempts, reason)] = sqlite3.connect(tmp_path / "outbox.db").execute(
        "SELECT attempts, reason FROM dead_letter"
    )
    assert attempts == 3
    assert reason.startswith("given up after 3 attempts: answered 500")


def test_a_sink_that_hangs_delays_no_other(start, endpoint, tmp_path):
    endpoint.answer = lambda _: None
    path = tmp_path / "all.jsonl"
    exporter = start(http(endpoint.url, timeout=60), {"type": "file", "path": str(path)})
    exporter.export(logs(*(task(n) for n in range(100))))
    eventually(lambda: len(lines(path)) == 100)
    endpoint.closed.set()


def test_undelivered_events_are_delivered_after_the_next_start(start, endpoint):
    endpoint.answer = lambda _: (503, {})
    first = start(http(endpoint.url))
    first.export(logs(*(task(n) for n in range(20))))
    eventually(lambda: len(endpoint.requests) > 0)
    first.shutdown()
    endpoint.answer = lambda _: (204, {})
    start(http(endpoint.url))
    eventually(lambda: len(endpoint.accepted) == 20)
    assert sorted(subjects(endpoint.bodies())) == sorted(f"r/asset{n}" for n in range(20))


@pytest.fixture
def reader(monkeypatch):
    """Create the instruments again on a provider of this test: the global one can be set only once."""
    reading = InMemoryMetricReader()
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "get_meter", MeterProvider([reading]).get_meter)
        importlib.reload(_metrics)
    yield reading
    importlib.reload(_metrics)


def test_its_metrics_count_accepted_pending_and_delivered_events(reader, start, endpoint):
    endpoint.answer = lambda body: (
        {"r/asset1": 400, "r/asset2": 500}.get(json.loads(body)["subject"], 204),
        {},
    )
    exporter = start(http(endpoint.url, retry={"initial": 60, "maximum": 60, "refusals": 1}))
    name = f"http:{endpoint.url}"
    exporter.export(logs(task(1), task(2), task(3), ("flowstone.run.start", {"flowstone.run_id": "r"})))
    eventually(
        lambda: (
            counts(exporter) == {(name, "dead"): 1, (name, "pending"): 1, (name, "sent"): 1, ("", "dead"): 1}
        )
    )
    eventually(lambda: series(reader)["assay.cdevents.sent"] == {name: 1})
    assert series(reader) == {
        "assay.cdevents.accepted": {name: 3},
        "assay.cdevents.sent": {name: 1},
        "assay.cdevents.dead": {name: 1},
        "assay.cdevents.retried": {name: 1},
        "assay.cdevents.pending": {name: 1},
        "assay.cdevents.invalid": {"dev.cdevents.pipelinerun.started.0.3.0": 1},
    }


def test_every_counter_starts_at_zero(reader, start, tmp_path):
    name = f"file:{tmp_path / 'all.jsonl'}"
    start({"type": "file", "path": str(tmp_path / "all.jsonl")})
    counted = series(reader, zeros=True)
    assert counted.pop("assay.cdevents.invalid").items() >= {"dev.cdevents.taskrun.started.0.3.0": 0}.items()
    names = ("accepted", "sent", "retried", "dead")
    assert counted == {f"assay.cdevents.{counter}": {name: 0} for counter in names}


def series(reader, *, zeros: bool = False) -> dict[str, dict[str, float]]:
    data = reader.get_metrics_data()
    return {
        metric.name: {
            next(iter(point.attributes.values())): point.value
            for point in metric.data.data_points
            if point.value or zeros
        }
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_an_invalid_event_is_not_sent_but_stored_with_the_reason(start, tmp_path):
    path = tmp_path / "all.jsonl"
    exporter = start({"type": "file", "path": str(path)})
    nameless = ("flowstone.run.start", {"flowstone.run_id": "r"})  # pipelineName is required
    exporter.export(logs(nameless, task(1)))
    exporter.export(logs(nameless))
    eventually(lambda: len(lines(path)) == 1)
    rows = sqlite3.connect(tmp_path / "outbox.db").execute("SELECT sink, reason FROM dead_letter").fetchall()
    assert rows == [("", "data.subject.content.pipelineName: Field required")]


def test_a_full_disk_raises_retry_and_loses_nothing(start, tmp_path):
    path = tmp_path / "all.jsonl"
    exporter = start({"type": "file", "path": str(path)})
    database = exporter._outbox._db
    [(pages,)] = database.execute("PRAGMA page_count").fetchall()
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Retry, match="full"):
        exporter.export(logs(*(task(n) for n in range(200))))
    assert lines(path) == []
    database.execute("PRAGMA max_page_count = 1000000")
    exporter.export(logs(*(task(n) for n in range(200))))
    eventually(lambda: len(lines(path)) == 200)


def test_a_run_is_one_chain(start, tmp_path):
    path = tmp_path / "all.jsonl"
    exporter = start({"type": "file", "path": str(path)})
    run = {"flowstone.run_id": "r", "flowstone.job": "j"}
    exporter.export(logs(("flowstone.run.queued", run), at=1, span=b""))
    exporter.export(logs(("flowstone.run.start", run), at=2, span=b"\1" * 8))
    exporter.export(logs(task(1), at=3, span=b"\2" * 8))
    stop = ("flowstone.materialization.stop", {"flowstone.run_id": "r", "flowstone.asset": "asset1"})
    exporter.export(logs(stop, at=4, span=b"\2" * 8))
    exporter.export(logs(("flowstone.run.stop", run), at=5, span=b"\1" * 8))
    eventually(lambda: len(lines(path)) == 5)
    contexts = {event["type"].split(".", 2)[2][:-6]: event["data"]["context"] for event in lines(path)}
    assert len({context["chainId"] for context in contexts.values()}) == 1
    origins = {
        name: [link["from"]["contextId"] for link in context.get("links", [])]
        for name, context in contexts.items()
    }
    assert origins == {
        "pipelinerun.queued": [],
        "pipelinerun.started": [contexts["pipelinerun.queued"]["id"]],
        "taskrun.started": [contexts["pipelinerun.started"]["id"]],
        "taskrun.finished": [contexts["taskrun.started"]["id"]],
        "pipelinerun.finished": [contexts["pipelinerun.started"]["id"]],
    }


RUN = {"flowstone.run_id": "r", "flowstone.job": "j"}
STOP = ("flowstone.run.stop", RUN)


def links_of(path):
    contexts = {event["type"].split(".")[3]: event["data"]["context"] for event in lines(path)}
    ids = {context["id"]: name for name, context in contexts.items()}
    return {
        name: [ids[link["from"]["contextId"]] for link in context.get("links", [])]
        for name, context in contexts.items()
    }


def test_the_end_of_a_run_that_another_process_reports_is_linked_to_an_event_that_was_sent(start, tmp_path):
    path = tmp_path / "all.jsonl"
    exporter = start({"type": "file", "path": str(path)})
    exporter.export(logs(("flowstone.run.start", RUN), at=1, span=b"\1" * 8))
    exporter.export(logs(STOP, at=2, span=b"\2" * 8))
    eventually(lambda: len(lines(path)) == 2)
    assert links_of(path) == {"started": [], "finished": ["started"]}


def test_an_event_is_not_linked_to_one_that_the_sink_does_not_accept(start, tmp_path):
    path = tmp_path / "ends.jsonl"
    exporter = start({"type": "file", "path": str(path), "types": ["dev.cdevents.pipelinerun.finished.*"]})
    exporter.export(logs(("flowstone.run.start", RUN), STOP))
    eventually(lambda: len(lines(path)) == 1)
    assert links_of(path) == {"finished": []}


def test_an_event_is_not_linked_to_a_dead_letter(start, endpoint):
    endpoint.answer = lambda body: (400 if ".started." in json.loads(body)["type"] else 204, {})
    exporter = start(http(endpoint.url, retry={"initial": 0.01, "refusals": 1}))
    exporter.export(logs(("flowstone.run.start", RUN)))
    eventually(lambda: {state for _, state in counts(exporter)} == {"dead"})
    exporter.export(logs(STOP))
    eventually(lambda: len(endpoint.accepted) == 1)
    (finished,) = endpoint.bodies()[-1:]
    assert "links" not in finished["data"]["context"]


REGISTRY = """
file_format: definition/2
attributes:
  - {key: shop.order, type: string, brief: The order., stability: stable, examples: ["1"]}
  - {key: shop.lost, type: boolean, brief: Whether it was lost., stability: stable}
spans:
  - type: shop.ship
    kind: internal
    name: {note: shop.ship}
    brief: An order is shipped.
    stability: stable
    attributes:
      - {ref: shop.order, requirement_level: required}
      - {ref: shop.lost, requirement_level: required}
    annotations:
      assay:
        cdevents:
          - {type: build.started, subject: "{shop.order}"}
          - {type: build.finished, subject: "{shop.order}", when: {shop.lost: true}}
events:
  - name: shop.ship.start
    brief: An order begins to be shipped.
    stability: stable
    attributes: [{ref: shop.order, requirement_level: required}]
    annotations: {assay: {cdevents: [{type: build.started, subject: "{shop.order}"}]}}
"""


@pytest.mark.parametrize("by", ["setting", "environment"])
def test_the_rules_of_an_additional_registry_apply(start, tmp_path, monkeypatch, by):
    registry, path = tmp_path / "shop.yaml", tmp_path / "all.jsonl"
    registry.write_text(REGISTRY)
    if by == "environment":
        monkeypatch.setenv("ASSAY_REGISTRY", str(registry))
    exporter = start(
        {"type": "file", "path": str(path)}, **({"registry": [str(registry)]} if by == "setting" else {})
    )
    exporter.export(spans("shop.ship", {"shop.order": "7", "shop.lost": True}))
    exporter.export(logs(task(1)))
    eventually(lambda: len(lines(path)) == 3)
    assert [event["type"].split(".", 2)[2] for event in lines(path)][:2] == [
        "build.started.0.3.0",
        "build.finished.0.3.0",
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sinks": []}, "sinks"),
        ({"sinks": [{"type": "fax"}]}, "fax"),
        ({"sinks": [{"type": "file"}]}, "path"),
        ({"sinks": [{"type": "file", "path": "x", "url": "y"}]}, "url"),
        ({"outboxes": "x"}, "outboxes"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, change, named):
    section = {
        "outbox": str(tmp_path / "o.db"),
        "sinks": [{"type": "file", "path": str(tmp_path / "f")}],
        **change,
    }
    with pytest.raises(ValidationError, match=named):
        Settings.model_validate(section)


def test_two_sinks_with_one_name_are_refused(start, tmp_path):
    with pytest.raises(CDEventsError, match="two sinks have the same name"):
        start({"type": "file", "path": str(tmp_path / "f")}, {"type": "file", "path": str(tmp_path / "f")})


def test_an_outbox_that_cannot_be_opened_is_reported(start, tmp_path):
    (tmp_path / "outbox.db").write_text("not a database, and long enough for SQLite to see it" * 20)
    with pytest.raises(CDEventsError, match=r"cannot open the outbox .*outbox.db: file is not a database"):
        start({"type": "file", "path": str(tmp_path / "f")})


def test_an_outbox_that_cannot_be_pruned_still_accepts_events(start, tmp_path, caplog):
    path = tmp_path / "all.jsonl"
    exporter = start({"type": "file", "path": str(path)}, retention={"events": 0})
    exporter.export(logs(task(1)))
    eventually(lambda: counts(exporter) == {(f"file:{path}", "sent"): 1})
    exporter._outbox._db.execute(
        "CREATE TEMP TRIGGER full BEFORE DELETE ON delivery BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    exporter._prune_at = 0.0
    exporter.export(logs(task(2)))
    assert "cannot prune the outbox: full" in caplog.text
    eventually(lambda: subjects(lines(path)) == ["r/asset1", "r/asset2"])
