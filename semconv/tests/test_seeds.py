"""The registry holds every name that the seed documents require (../shared/design/signals.yaml)."""

import pytest
import yaml

from assay.semconv import CATALOGUE
from assay.semconv._grammar import assay_annotations
from assay.semconv.registry import definitions

SUBSYSTEMS = ("flowstone", "alumiini", "ingot", "forge", "anvil", "snakepit")
UPSTREAM_NAMES = {"error.type": "error_type", "error.message": "error_message"}


@pytest.fixture(scope="module", params=SUBSYSTEMS)
def subsystem(request):
    return request.param


@pytest.fixture(scope="module")
def signals(shared, subsystem):
    return yaml.safe_load((shared / "design" / "signals.yaml").read_text())[subsystem]


@pytest.fixture(scope="module")
def about(registry, subsystem):
    return assay_annotations(definitions(registry).sections["attribute_groups"][subsystem]).plain()


def _expanded(name, entry, key):
    return [name.replace("*", each) for each in entry[key]] if name.endswith("*") else [name]


def _events(signals):
    for entry in signals.get("events", []):
        for name in _expanded(entry["name"], entry, "actions"):
            yield name, entry


def test_attributes(signals):
    wanted = [*signals.get("attributes", []), *signals.get("resource_attributes", [])]
    assert [key for key in wanted if key not in CATALOGUE.attributes] == []


def test_upstream_equivalents(signals):
    for key, upstream in signals.get("upstream_equivalents", {}).items():
        assert upstream in CATALOGUE.attributes[key].also


def test_spans(signals):
    for entry in signals["spans"]:
        for name in _expanded(entry["event"], entry, "operations"):
            span = CATALOGUE.spans[name]
            carried = {each.name for each in (*span.attributes, *span.stop_attributes)}
            wanted = {*entry["metadata"], *entry.get("on_error", [])}
            # `duration` is the span's own length, not an attribute.
            last = {each.source or each.name for each in span.stop_attributes if each.measurement}
            assert wanted <= carried, name
            assert set(entry.get("stop_measurements", [])) - {"duration"} <= last, name
            assert span.kind == entry.get("kind", "internal"), name
            assert span.start in {"start", "init"}


def test_operations_are_constant_attributes():
    span = CATALOGUE.spans["ingot.forge_client.get_sample"]
    operation = next(each for each in span.attributes if each.name == "operation")
    assert operation.constant == "get_sample"
    recordings = CATALOGUE.metrics["ingot.anvil_client.errors"].recordings
    assert {each.defaults["operation"] for each in recordings} == {"submit_label", "fetch_assignment"}


def test_span_flags(signals):
    for entry in signals["spans"]:
        if entry.get("audit"):
            event = CATALOGUE.events[f"{entry['event']}.stop"]
            assert event.audit is not None
            assert entry["topic"] in event.topics


def test_events(signals):
    for name, entry in _events(signals):
        event = CATALOGUE.events[name]
        carried = {each.source or each.name for each in event.attributes}
        assert set(entry.get("metadata", [])) <= carried, name
        assert set(entry.get("measurements", [])) <= carried, name
        assert (event.audit is not None) == bool(entry.get("audit")), name
        topics = entry.get("topics", [entry["topic"]] if "topic" in entry else [])
        assert list(event.topics) == topics, name
        if entry.get("severity", "") in {"debug", "info", "warning", "error", "critical"}:
            assert event.severity == entry["severity"], name


def test_events_that_become_cdevents(signals):
    for name, entry in _events(signals):
        wanted = entry.get("cdevent", "")
        sent = " ".join(rule.type for rule in CATALOGUE.events[name].cdevents)
        if not wanted or (" for " in wanted and not name.endswith(wanted.rpartition(" for ")[2])):
            assert sent == "", name
        elif name not in {"anvil.export.progress", "anvil.export.failed"}:  # nothing is published by them
            for each in wanted.partition(" for ")[0].split(" + "):
                subject, _, predicates = each.strip().rpartition(".")
                for predicate in predicates.split("|"):
                    assert f"{subject}.{predicate}" in sent, name


def test_metrics(signals):
    for entry in signals["metrics"]:
        metric = CATALOGUE.metrics[entry["name"]]
        assert metric.instrument == entry["type"]
        assert metric.series == entry["prom"]
        assert [label.name for label in metric.labels] == entry["labels"]
        assert metric.recordings, f"nothing records {metric.name}"
        if "unit" in entry:
            assert metric.unit == entry["unit"]
        if metric.instrument == "histogram":
            assert set(entry.get("must_have_bucket", [])) <= set(metric.buckets)
            assert list(metric.buckets) == entry.get("buckets", list(metric.buckets))
            assert metric.buckets


def test_log_lines(signals, about):
    lines = signals.get("logs", [])
    if isinstance(lines, dict):
        assert about["logs"] == lines  # Ingot names fields, and no lines
        return
    by_line = {event.log: event for event in CATALOGUE.events.values() if event.log}
    for entry in lines:
        event = by_line[entry["event"]]
        assert event.severity == entry["level"].lower()
        fields = {each.name for each in event.attributes}
        wanted = set(entry["fields"]) - {"flowstone", "event"}  # the JSON formatter adds these to all
        assert fields - wanted <= {"status", "actor"}, entry["event"]
        assert wanted <= fields


def test_what_concerns_the_whole_subsystem(signals, about):
    for key in set(signals) & {
        "role",
        "real_sources",
        "severities",
        "outcomes",
        "triggers",
        "integrations",
    } | (set(signals) & {"event_envelope", "controls", "dashboard", "event_bus", "errors"}):
        assert about[key] == signals[key]
    if "health_checks" in signals:
        assert about["health"]["checks"] == signals["health_checks"]
    if "topics" in signals:
        assert about["topics"] == signals["topics"]


def test_slos_and_alerts(signals, about):
    assert [each["sli"] for each in about.get("slos", [])] == [
        each["sli"] for each in signals.get("slos", [])
    ]
    wanted = {each if isinstance(each, str) else each["name"] for each in signals.get("alerts", [])}
    alerts = {each["name"]: each for each in about.get("alerts", [])}
    assert wanted <= alerts.keys()
    for slo, entry in zip(about.get("slos", []), signals.get("slos", []), strict=True):
        assert slo["target"] == entry["target"]
        assert alerts[slo["alert"]]["condition"] == entry["alert"]


def test_the_runs_of_flowstone():
    span = CATALOGUE.spans["flowstone.run"]
    assert [each.name for each in span.attributes] == ["run_id", "job", "actor"]
    for phase in ("queued", "start", "stop", "exception", "canceled"):
        event = CATALOGUE.events[f"flowstone.run.{phase}"]
        assert event.audit is not None
        assert event.cdevents[0].type.startswith("pipelinerun.")
    assert CATALOGUE.attributes["flowstone.run_id"].also == ("cicd.pipeline.run.id",)


def test_phases_that_are_not_the_usual_ones():
    scatter = CATALOGUE.spans["flowstone.scatter"]
    assert {"complete", "cancel"} <= set(scatter.stops)
    assert "failed" in scatter.exceptions
    reader = CATALOGUE.spans["flowstone.item_reader"]
    assert reader.start == "init"
    assert {"branch_start", "branch_complete", "branch_fail"} <= {
        name.rpartition(".")[2] for name in CATALOGUE.events if name.startswith("flowstone.parallel.")
    }
