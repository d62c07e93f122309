"""The registry holds every name that the seed documents require (../shared/design/signals.yaml)."""

import pytest
import yaml

from assay.semconv import CATALOGUE
from assay.semconv._grammar import assay_annotations
from assay.semconv.registry import definitions

SUBSYSTEMS = ("flowstone", "alumiini", "ingot", "forge", "anvil", "snakepit")
# OpenTelemetry deprecates `error.message` and recommends an attribute of the domain instead.
RENAMED = {"error.message": "assay.error.message"}
# OpenTelemetry's conventions decide the kind of these spans; signals.yaml gives them none.
UPSTREAM_KINDS = {"anvil.storage.query": "client"}
# `duration` is the span's own length, not an attribute.
OWN_LENGTH = {"duration"}
# Fields of the log record itself, not attributes.
RECORD_FIELDS = {"id", "timestamp", "type", "severity"}
# The JSON formatter adds these to every line.
LINE_FIELDS = {"flowstone", "event"}
# Compared by other tests here; the subsystem's group holds every other key unchanged.
COMPARED = {
    "attributes",
    "resource_attributes",
    "attributes_on_every_event",
    "upstream_equivalents",
    "spans",
    "events",
    "metrics",
    "messages",
    "logs",
    "log_lines",
    "needs",
    "slos",
    "alerts",
    "alerts_must_fire",
}


@pytest.fixture(scope="module")
def designs(shared):
    return _normalized(yaml.safe_load((shared / "design" / "signals.yaml").read_text()))


def _normalized(value):
    """Return a value as the registry holds it: keys are text, and origins stay in signals.yaml."""
    if isinstance(value, dict):
        return {str(key): _normalized(each) for key, each in value.items() if key != "origin"}
    return [_normalized(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", params=SUBSYSTEMS)
def subsystem(request):
    return request.param


@pytest.fixture(scope="module")
def signals(designs, subsystem):
    return designs[subsystem]


@pytest.fixture(scope="module")
def found(registry):
    return definitions(registry)


@pytest.fixture(scope="module")
def about(found, subsystem):
    return _about(found, subsystem)


def _about(found, name):
    return assay_annotations(found.sections["attribute_groups"][name]).plain()


def _expanded(name, entry, key):
    return [name.replace("*", each) for each in entry[key]] if name.endswith("*") else [name]


def _events(signals):
    for entry in signals.get("events", []):
        for name in _expanded(entry["name"], entry, "actions"):
            yield name, entry


def _carried(event):
    return {each.source or each.name for each in event.attributes}


def test_attributes(signals):
    wanted = [*signals.get("attributes", []), *signals.get("resource_attributes", [])]
    assert [key for key in wanted if RENAMED.get(key, key) not in CATALOGUE.attributes] == []


def test_upstream_equivalents(signals):
    for key, upstream in signals.get("upstream_equivalents", {}).items():
        assert upstream in CATALOGUE.attributes[key].also


def test_spans(signals):
    for entry in signals.get("spans", []):
        for name in _expanded(entry["event"], entry, "operations"):
            span = CATALOGUE.spans[name]
            carried = {each.name for each in (*span.attributes, *span.stop_attributes)}
            wanted = {*entry["metadata"], *entry.get("on_error", [])}
            last = {each.source or each.name for each in span.stop_attributes if each.measurement}
            assert wanted <= carried, name
            assert set(entry.get("stop_measurements", [])) - OWN_LENGTH <= last, name
            assert span.kind == entry.get("kind", UPSTREAM_KINDS.get(name, "internal")), name
            assert span.start in {"start", "init"}


def test_operations_are_constant_attributes():
    span = CATALOGUE.spans["ingot.forge_client.get_sample"]
    operation = next(each for each in span.attributes if each.name == "operation")
    assert operation.constant == "get_sample"
    recordings = CATALOGUE.metrics["ingot.anvil_client.errors"].recordings
    assert {each.defaults["operation"] for each in recordings} == {"submit_label", "fetch_assignment"}


def test_span_flags(signals):
    for entry in signals.get("spans", []):
        if entry.get("audit"):
            event = CATALOGUE.events[f"{entry['event']}.stop"]
            assert event.audit is not None
            assert entry["topic"] in [each.topic for each in event.topics]


def test_events(signals):
    for name, entry in _events(signals):
        event = CATALOGUE.events[name]
        carried = _carried(event)
        assert set(entry.get("metadata", [])) <= carried, name
        assert set(entry.get("measurements", [])) <= carried, name
        assert (event.audit is not None) == bool(entry.get("audit")), name
        topics = entry.get("topics", [entry["topic"]] if "topic" in entry else [])
        assert [each.topic for each in event.topics] == topics, name
        if entry.get("severity", "") in {"debug", "info", "warning", "error", "critical"}:
            assert event.severity == entry["severity"], name


def test_subtypes(signals, found):
    for name, entry in _events(signals):
        own = assay_annotations(found.sections["events"][name])
        assert own.get("subtypes", []) == entry.get("subtypes", []), name


def test_severity_of_a_crash():
    assert CATALOGUE.events["snakepit.worker.crash"].severity == "error"


def test_events_that_become_cdevents(signals):
    for name, entry in _events(signals):
        wanted = entry.get("cdevent", "")
        sent = " ".join(rule.type for rule in CATALOGUE.events[name].cdevents)
        if not wanted or (" for " in wanted and not name.endswith(wanted.rpartition(" for ")[2])):
            # The issue of Snakepit asks for the end of a crash's incident, which the design does not list.
            assert sent == ("incident.resolved" if name == "snakepit.worker.restarted" else ""), name
        elif name not in {"anvil.export.progress", "anvil.export.failed"}:  # nothing is published by them
            for each in wanted.partition(" for ")[0].split(" + "):
                subject, _, predicates = each.strip().rpartition(".")
                for predicate in predicates.split("|"):
                    assert f"{subject}.{predicate}" in sent, name


def test_the_envelope_of_alumiini(designs, found):
    signals = designs["alumiini"]
    required = set(signals["event_envelope_required"]) - RECORD_FIELDS
    everywhere = set(signals["attributes_on_every_event"])
    for entry in signals["events"]:
        if not entry["name"].startswith("alumiini.") or entry["name"].count(".") > 1:
            continue  # the metrics' own events (cache.access, worker.count) have no envelope in the seed
        if entry["name"] == "alumiini.error":
            continue  # not one of the seed's event types
        event = CATALOGUE.events[entry["name"]]
        must = {
            reference["ref"].value
            for reference in found.references(found.sections["events"][event.name])
            if reference.get("requirement_level") == "required"
        }
        assert required <= {each.name for each in event.attributes if each.key in must}, event.name
        assert everywhere <= {each.key for each in event.attributes}, event.name
    for name in ("sync_started", "sync_completed", "sync_failed"):
        assert "rollout_ref" in _carried(CATALOGUE.events[f"alumiini.{name}"])


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


def test_figures_that_need_a_metric(signals):
    for entry in signals.get("needs", []):
        if "add" not in entry:
            continue
        # `name, instrument[, unit], labels [label]: what it counts`
        name, instrument, *unit, labels = [
            each.strip() for each in entry["add"].partition("]")[0].replace("[", "").split(",")
        ]
        metric = CATALOGUE.metrics[name]
        assert metric.instrument == instrument
        assert unit in ([], [metric.unit])
        wanted = labels.removeprefix("labels ").replace(" ", "_")
        assert [label.name for label in metric.labels] == [wanted]


def test_series_that_the_figures_come_from(designs):
    series = {metric.series for metric in CATALOGUE.metrics.values()}
    for entry in designs["ingot"]["needs"]:
        named = entry.get("from", "").removeprefix("rate of ")
        assert not named.startswith("ingot_") or named in series


def test_failures_are_counted_as_the_seed_counts_them(designs):
    assert "io counts and durations include them" in designs["flowstone"]["counting"]
    recordings = CATALOGUE.metrics["flowstone.materialization.stop.count"].recordings
    assert [each.defaults for each in recordings] == [{"status": "success"}, {"status": "failure"}]
    for name in ("load", "store"):
        for figure in ("count", "duration"):
            events = [each.event for each in CATALOGUE.metrics[f"flowstone.io.{name}.{figure}"].recordings]
            assert events == [f"flowstone.io.{name}.stop", f"flowstone.io.{name}.exception"]


def test_a_completed_request_is_counted_once(designs):
    [entry] = [each for each in designs["snakepit"]["events"] if each["name"] == "snakepit.request.completed"]
    assert "counted once" in entry["note"]
    for name in ("snakepit.requests", "snakepit.request.duration", "snakepit.request.queue_time"):
        recordings = CATALOGUE.metrics[name].recordings
        alone = [each for each in recordings if each.event == "snakepit.request.completed"]
        assert alone
        assert all(each.when["in_span"] is None for each in alone)


def _senders(entry):
    """Return the bus events that publish a message: those that signals.yaml names, perhaps in words."""
    sender = entry["from"]
    if " with result error" not in sender:
        return [sender]
    prefix = sender.partition("*")[0]
    other = sender.rpartition("the same for ")[2] if "the same for " in sender else ""
    prefixes = (prefix, f"ingot.{other}.") if other else (prefix,)
    return [
        f"{span}.{phase}"
        for span in CATALOGUE.spans
        if span.startswith(prefixes)
        for phase in ("stop", "exception")
    ]


def test_messages(signals):
    for entry in signals.get("messages", []):
        for sender in _senders(entry):
            topics = {(each.topic, each.message): each for each in CATALOGUE.events[sender].topics}
            topic = topics[entry["topic"], entry["name"]]
            # A call of Forge concerns a sample where a call of Anvil concerns an assignment.
            target = "sample_id" if sender.startswith("ingot.forge_client.") else "assignment_id"
            assert [target if key == "assignment_id" else key for key in entry["payload"]] == list(
                topic.payload
            )


def test_errors_of_clients():
    for span in ("forge_client.get_sample", "anvil_client.submit_label", "anvil_client.fetch_assignment"):
        stop, exception = (CATALOGUE.events[f"ingot.{span}.{phase}"] for phase in ("stop", "exception"))
        assert stop.when == {"result": "error"}
        assert exception.when == {}
        for event in (stop, exception):
            assert event.topics[0].constants == {"type": f"{span.partition('.')[0]}_error"}


def test_log_lines(signals):
    by_line = {event.log: event for event in CATALOGUE.events.values() if event.log}
    lines = signals.get("logs", [])
    for entry in lines if isinstance(lines, list) else []:
        event = by_line[entry["event"]]
        assert event.severity == entry["level"].lower()
        fields = {each.name for each in event.attributes}
        wanted = set(entry["fields"]) - LINE_FIELDS
        assert fields - wanted <= {"status", "actor", "exit_code", "exit_signal"}, entry["event"]
        assert wanted <= fields


def test_log_lines_by_message(signals):
    for entry in signals.get("log_lines", []):
        senders = _senders(entry)
        span = CATALOGUE.spans.get(entry["from"])
        if span is not None:
            senders = [f"{span.event}.{phase}" for phase in span.stops]
        for sender in senders:
            event = CATALOGUE.events[sender]
            assert event.body == entry["message"]
            assert event.severity == entry["level"]
            assert set(entry["fields"]) <= {each.name for each in event.attributes}, sender


def test_fields_of_ingots_lines(designs, found):
    assert _about(found, "ingot")["logs"] == designs["ingot"]["logs"]


def test_what_concerns_the_whole_subsystem(signals, about):
    for key in set(signals) - COMPARED:
        assert about[key] == signals[key], key


def test_topics(signals, about, subsystem):
    named = {
        topic.topic
        for event in CATALOGUE.events.values()
        for topic in event.topics
        if event.name.startswith(f"{subsystem}.")
    }
    if "topics" in signals:
        assert named - {"errors:global"} <= set(about["topics"])


def test_slos_and_alerts(signals, about):
    assert [each["sli"] for each in about.get("slos", [])] == [
        each["sli"] for each in signals.get("slos", [])
    ]
    alerts = {each["name"]: each for each in about.get("alerts", [])}
    for slo, entry in zip(about.get("slos", []), signals.get("slos", []), strict=True):
        assert slo["target"] == entry["target"]
        assert slo["metric"] in CATALOGUE.metrics
        assert alerts[slo["alert"]]["condition"] == entry["alert"].partition("  #")[0].strip()
    for entry in signals.get("alerts", []):
        wanted = {"name": entry} if isinstance(entry, str) else entry
        assert wanted.items() <= alerts[wanted["name"]].items()
    for entry in signals.get("alerts_must_fire", []):
        alert = alerts[entry["alert"]]
        for key, name in (("when", "must_fire"), ("note", "note"), ("needs", "needs")):
            if key in entry:
                # The seeds' words up to the remark that this very comparison answers.
                assert entry[key].startswith(alert[name])


def test_the_audit_log(designs, found):
    assert _about(found, "assay")["audit_log"] == designs["audit_log"]


def test_the_default_actor(designs, found):
    wanted = designs["flowstone"]["actor_defaults"]
    assert _about(found, "audit")["actor_defaults"] == wanted


def test_the_runs_of_flowstone():
    span = CATALOGUE.spans["flowstone.run"]
    assert [each.name for each in span.attributes][:3] == ["run_id", "job", "actor"]
    for phase in ("queued", "start", "stop", "exception", "canceled"):
        event = CATALOGUE.events[f"flowstone.run.{phase}"]
        assert event.audit is not None
        assert event.cdevents[0].type.startswith("pipelinerun.")


def test_phases_that_are_not_the_usual_ones():
    scatter = CATALOGUE.spans["flowstone.scatter"]
    assert {"complete", "cancel"} <= set(scatter.stops)
    assert "failed" in scatter.exceptions
    reader = CATALOGUE.spans["flowstone.item_reader"]
    assert reader.start == "init"
    assert {"branch_start", "branch_complete", "branch_fail"} <= {
        name.rpartition(".")[2] for name in CATALOGUE.events if name.startswith("flowstone.parallel.")
    }
