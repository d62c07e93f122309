from __future__ import annotations

import re

import pytest

from assay import semconv
from assay.exporters.cdevents import RuleError, parse
from assay.exporters.cdevents._mapping import Mapper, chain_id, check_source, source, timestamp
from assay.exporters.cdevents._records import ended_spans, log_events
from assay.semconv.catalogue import Catalogue, CDEventRule, Event, Span

from .conftest import SPAN, TIME, TRACE, logs, spans

STARTED = CDEventRule("taskrun.started", "{run}/{task}", {"taskName": "{task}"}, chain="{run}")
FINISHED = CDEventRule(
    "taskrun.finished",
    "{run}/{task}",
    {"taskName": "{task}", "pipelineRun": {"id": "{run}"}, "outcome": "success"},
    chain="{run}",
)
CATALOGUE = Catalogue(
    spans={"job.task": Span("job.task", cdevents=(STARTED, FINISHED))},
    events={
        "job.task.start": Event("job.task.start", cdevents=(STARTED,)),
        "job.task.stop": Event("job.task.stop", cdevents=(FINISHED,)),
        "job.note": Event(
            "job.note",
            cdevents=(
                CDEventRule("dev.cdeventsx.job-note.taken.0.1.0", "{note}", {"size": "{size}"}),
                CDEventRule("approval.created", "{note}", draft=True),
                CDEventRule("build.queued", "{note}", when={"build": True}),
            ),
        ),
    },
)
VALUES = {"run": "r1", "task": "t"}


def mapped(record_batch, **options):
    mapper = Mapper(CATALOGUE, source="/{service.name}", **options)
    reader = (
        log_events(record_batch.request, 1)
        if record_batch.signal == "logs"
        else ended_spans(record_batch.request)
    )
    return [event for record in reader for event in mapper.events(record)]


def test_a_log_event_is_mapped_by_its_rule():
    [event] = mapped(logs(("job.task.stop", VALUES)))
    context = event.document["context"]
    assert event.document["subject"] == {
        "id": "r1/t",
        "content": {"taskName": "t", "pipelineRun": {"id": "r1"}, "outcome": "success"},
    }
    assert context["source"] == "/orders"
    assert context["timestamp"] == timestamp(TIME)
    assert context["chainId"] == chain_id("r1")
    assert event.traceparent == f"00-{TRACE.hex()}-{SPAN.hex()}-01"
    parse(event.document)


def test_a_span_and_its_log_events_give_the_same_ids_and_origins():
    from_logs = mapped(logs(("job.task.start", VALUES), ("job.task.stop", VALUES)))
    from_span = mapped(spans("job.task", VALUES))
    assert [event.id for event in from_span] == [event.id for event in from_logs]
    assert len({event.id for event in from_logs}) == 2
    assert from_logs[1].origin == from_span[1].origin == from_logs[0].id
    assert from_logs[0].origin == ""


def test_the_rules_of_a_span_apply_whatever_its_name_is():
    plain = mapped(spans("job.task", VALUES))
    named = mapped(spans("TASK t", {**VALUES, "assay.span.event": "job.task"}))
    assert [event.document for event in named] == [event.document for event in plain]
    assert len(named) == 2
    assert mapped(spans("job.task", {**VALUES, "assay.span.event": "job.other"})) == []


def test_a_span_starts_and_ends_at_its_own_times():
    started, finished = mapped(spans("job.task", VALUES))
    assert started.document["context"]["timestamp"] == timestamp(TIME)
    assert finished.document["context"]["timestamp"] == timestamp(TIME + 1_000_000_000)


def test_equal_records_have_equal_ids_and_others_have_others():
    def ids(*args, **kwargs):
        return [event.id for event in mapped(logs(*args, **kwargs))]

    once = ids(("job.note", {"note": "n", "size": 1}))
    assert once == ids(("job.note", {"note": "n", "size": 1}))
    assert once != ids(("job.note", {"note": "n", "size": 2}))
    assert once != ids(("job.note", {"note": "n", "size": 1}), at=TIME + 1)
    assert once != ids(("job.note", {"note": "n", "size": 1, "assay.correlation_id": "c"}))


def test_custom_content_keeps_its_types_and_standard_content_is_text():
    [note] = mapped(logs(("job.note", {"note": "n", "size": 5})))
    assert note.document["subject"]["content"] == {"size": 5}
    [task] = mapped(logs(("job.task.start", {"run": "r", "task": 7})))
    assert task.document["subject"]["content"] == {"taskName": "7"}


def test_when_and_draft_choose_the_rules():
    values = {"note": "n", "build": True}
    assert len(mapped(logs(("job.note", {"note": "n"})))) == 1
    assert len(mapped(logs(("job.note", values)))) == 2
    assert len(mapped(logs(("job.note", values)), draft_types=True)) == 3


def test_a_rule_without_a_chain_uses_the_correlation_id():
    [event] = mapped(logs(("job.note", {"note": "n", "assay.correlation_id": "c"})))
    assert event.chain == chain_id("c")
    [event] = mapped(logs(("job.note", {"note": "n"})))
    assert "chainId" not in event.document["context"]


def test_a_record_without_a_rule_produces_no_event():
    assert mapped(logs(("something.else", {}))) == []


def test_a_chain_of_a_uuid_is_that_uuid():
    assert chain_id("6F9619FF-8B86-D011-B42D-00CF4FC964FF") == "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
    assert chain_id("run-1") == chain_id("run-1") != chain_id("run-2")


@pytest.mark.parametrize("value", ["run-1", "", "x" * 36, "é"])
def test_the_chain_of_another_value_has_the_form_of_a_uuid_v4(value):
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", chain_id(value)
    )


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://git.example.org/org/repo", "https://git.example.org/org/repo"),
        ("git@git.example.org:org/repo", "ssh://git@git.example.org/org/repo"),
        ("/srv/git/repo", "file:///srv/git/repo"),
        ("../repo", None),
    ],
)
def test_a_fetch_from_any_kind_of_git_url_is_a_modified_repository(url, uri):
    attributes = {"alumiini.repo.name": "org/repo", "alumiini.repo.url": url, "alumiini.repo.commit": "c"}
    [record] = log_events(logs(("alumiini.git_fetched", attributes)).request, received=1)
    documents = [event.document for event in Mapper(semconv.CATALOGUE, source="/x").events(record)]
    [modified] = [each for each in documents if "repository.modified" in each["context"]["type"]]
    assert parse(modified)
    assert modified["subject"]["content"].get("uri") == uri


@pytest.mark.parametrize(
    ("template", "resource", "filled"),
    [
        ("/{service.namespace}/{service.name}", {"service.name": "a"}, "/a"),
        (
            "/{service.namespace}/{service.name}",
            {"service.name": "a b/c", "service.namespace": "n"},
            "/n/a%20b%2Fc",
        ),
        ("/{service.namespace}/{service.name}", {}, "/unknown_service"),
        ("https://ci.example.org/{service.name}", {"service.name": "a"}, "https://ci.example.org/a"),
        ("https://ci.example.org/{x}/{service.name}", {"service.name": "a"}, "https://ci.example.org/a"),
        ("urn:x:{service.instance.id}", {"service.instance.id": "é"}, "urn:x:%C3%A9"),
    ],
)
def test_source(template, resource, filled):
    assert source(check_source(template), resource) == filled


@pytest.mark.parametrize("template", ["", "a b", "http://[x/{service.name}"])
def test_a_source_that_cannot_be_a_uri_is_refused(template):
    with pytest.raises(RuleError):
        check_source(template)


def test_timestamp():
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(1_790_000_000_123_456_789) == "2026-09-21T14:13:20.123456Z"
    assert timestamp(2**64 - 1).startswith("2554-")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (CDEventRule("taskrun.finish", "x"), r"did you mean 'dev.cdevents.taskrun.finished"),
        (CDEventRule("taskrun.finished", "x", {"result": "y"}), r"has no 'result'; it has \["),
        (CDEventRule("dev.cdeventsx.tool.done.0.1.0", "x"), r"is not a custom type"),
        (CDEventRule("build.queued", "x", legacy="build.made"), r"'build.made' is not a legacy type"),
    ],
)
def test_an_invalid_rule_is_refused_and_named(rule, message):
    catalogue = Catalogue(events={"my.event": Event("my.event", cdevents=(rule,))})
    with pytest.raises(RuleError, match=f"my.event: .*{message}"):
        Mapper(catalogue, source="/x")
