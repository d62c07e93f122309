"""ALUMIINI's CDEvents, from its typed API to what a sink receives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.instrumentation.alumiini import (
    AlumiiniInstrumentor,
    Repository,
    drift_corrected,
    drift_detected,
    git_operation,
    sync,
    worker_started,
    worker_stopped,
)

from assay.exporters.cdevents import CDEventsExporter, Settings, cloudevents
from assay.exporters.cdevents.receiver import Receiver
from assay.host import Batch
from assay.instrumentation.testing import InMemoryTelemetry

from .conftest import Official, batch, eventually, lines, logs

URL = "https://git.example.org/org/my-app.git"
SHOP = Repository("my-app", URL, branch="main", path="deploy/")


@pytest.fixture
def emitted() -> Iterator[Callable[[], Batch]]:
    """Return a function that returns the log events since its last call, as the host gets them."""
    with InMemoryTelemetry() as telemetry:
        AlumiiniInstrumentor().instrument(**telemetry.providers)
        taken = 0

        def take() -> Batch:
            nonlocal taken
            found = telemetry.logs()
            new, taken = found[taken:], len(found)
            return batch("logs", encode_logs(new))

        yield take
        AlumiiniInstrumentor().uninstrument()


class Exporter:
    """A running exporter with a file sink."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "all.jsonl"
        sinks = settings.pop("sinks", [{"type": "file", "path": str(self.path)}])
        section = {"outbox": str(folder / "outbox.db"), "sinks": sinks, **settings}
        self._exporter = CDEventsExporter(Settings.model_validate(section))
        self.export = self._exporter.export
        self.close = self._exporter.shutdown
        self.counts = self._exporter._outbox.counts

    def received(self) -> list[dict[str, Any]]:
        """Return the CloudEvents of the file sink, once everything is delivered."""
        eventually(lambda: not any(state == "pending" for _, state in self.counts()))
        return lines(self.path)


KULTA = """
file_format: definition/2
attributes:
  - {key: kulta.rollout, type: string, brief: The rollout., stability: development, examples: ["r"]}
events:
  - name: kulta.progressed
    brief: A rollout progressed.
    stability: development
    attributes: [{ref: kulta.rollout, requirement_level: required}]
    annotations:
      assay:
        cdevents: [{type: dev.cdeventsx.kulta-deployment.progressed.0.1.0, subject: "{kulta.rollout}"}]
  - name: kulta.finished
    brief: A rollout finished.
    stability: development
    attributes: [{ref: kulta.rollout, requirement_level: required}]
    annotations:
      assay:
        cdevents: [{type: dev.cdeventsx.kulta-deployment.finished.0.1.0, subject: "{kulta.rollout}"}]
"""


@pytest.fixture
def kulta() -> Iterator[Receiver]:
    """Return a receiver of CDEvents that keeps the valid ones in `events`."""
    with Receiver(0, lambda received: receiver.events.append(received.event)) as receiver:
        receiver.events = []
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def start(tmp_path, monkeypatch) -> Iterator[Callable[..., Exporter]]:
    monkeypatch.delenv("ASSAY_REGISTRY", raising=False)
    running: list[Exporter] = []

    def starting(**settings: Any) -> Exporter:
        running.append(Exporter(tmp_path, **settings))
        return running[-1]

    yield starting
    for exporter in running:
        exporter.close()


def deploy(commit: str | None, *, namespace: str = "prod", name: str = "my-app") -> None:
    with sync(Repository(name, URL, commit=commit), trigger="poll", namespace=namespace, cluster_id="c1"):
        pass


def fail() -> None:
    with sync(SHOP, trigger="webhook", namespace="prod") as running:
        running.fail("the manifest is not YAML", "parse_error")


def fetch(url: str = URL) -> None:
    with git_operation("fetch", Repository("my-app", url)) as running:
        running.fetched(commit="9d59409")


def short(event: dict[str, Any]) -> str:
    """Return an event's type without prefix and version."""
    return event["type"].split(".", 2)[2].rsplit(".", 3)[0]


def services(events: list[dict[str, Any]]) -> list[str]:
    return [short(event).removeprefix("service.") for event in events if short(event).startswith("service.")]


ROWS = {
    "first sync": (
        lambda: deploy("9d59409"),
        {
            "alumiini-deployment.started": {
                "repository": "my-app", "revision": "9d59409", "environment": {"id": "prod"},
                "trigger": "poll",
            },
            "alumiini-deployment.finished": {
                "repository": "my-app", "revision": "9d59409", "environment": {"id": "prod"},
                "outcome": "success",
            },
            "service.deployed": {
                "environment": {"id": "prod"}, "artifactId": "pkg:generic/my-app@9d59409",
            },
        },
    ),
    "failed sync": (
        fail,
        {
            "alumiini-deployment.started": {
                "repository": "my-app", "environment": {"id": "prod"}, "trigger": "webhook",
            },
            "alumiini-deployment.failed": {
                "repository": "my-app", "environment": {"id": "prod"}, "outcome": "failure",
                "errors": "the manifest is not YAML",
            },
        },
    ),
    "fetch": (
        fetch,
        {
            "alumiini-repository.changed": {"repository": "my-app", "revision": "9d59409"},
            "repository.modified": {"name": "my-app", "uri": URL},
        },
    ),
    "drift": (
        lambda: drift_detected("Service", "web", namespace="prod", repository="my-app"),
        {
            "alumiini-drift.detected": {
                "repository": "my-app", "environment": {"id": "prod"},
                "resource": {"kind": "Service", "name": "web"},
            },
        },
    ),
    "corrected drift": (
        lambda: drift_corrected("Service", "web", namespace="prod", repository="my-app"),
        {
            "alumiini-drift.corrected": {
                "repository": "my-app", "environment": {"id": "prod"},
                "resource": {"kind": "Service", "name": "web"},
            },
            "environment.modified": {"name": "prod"},
        },
    ),
    "worker started": (
        lambda: worker_started("my-app/0", repository="my-app"),
        {"alumiini-worker.started": {"repository": "my-app", "worker": "my-app/0"}},
    ),
    "worker stopped": (
        lambda: worker_stopped("my-app/0", repository="my-app"),
        {"alumiini-worker.stopped": {"repository": "my-app", "worker": "my-app/0"}},
    ),
}  # fmt: skip


@pytest.fixture
def is_accepted(official: Official, refusal):
    """Return a function that returns whether the schemas and the Go SDK accept an event."""
    return lambda document: official.accepts(document) and not refusal(document)


@pytest.mark.parametrize("row", ROWS)
def test_each_event_becomes_the_cdevents_of_the_design(row, emitted, start, is_accepted):
    use, expected = ROWS[row]
    use()
    exporter = start()
    exporter.export(emitted())
    events = exporter.received()
    assert {short(event): event["data"]["subject"]["content"] for event in events} == expected
    for event in events:
        subject = "prod" if short(event) == "environment.modified" else "my-app"
        assert event["data"]["subject"]["id"] == subject
        assert event["data"]["context"]["chainId"]
        assert is_accepted(cloudevents.check(event))


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://bob:secret@git.example.org/org/repo.git", "https://git.example.org/org/repo.git"),
        ("git@git.example.org:org/repo", "ssh://git@git.example.org/org/repo"),
        ("git.example.org:org/repo", "ssh://git.example.org/org/repo"),
        ("git@[2001:db8::1]:org/repo", "ssh://git@[2001:db8::1]/org/repo"),
        ("/srv/git/my repo", "file:///srv/git/my%20repo"),
        ("C:/git/repo", "file:///C:/git/repo"),
        ("C:\\git\\repo", "file:///C:/git/repo"),
        ("../repo", None),
    ],
)
def test_the_location_of_a_modified_repository_is_a_uri(url, uri, emitted, start, official: Official):
    fetch(url)
    exporter = start()
    exporter.export(emitted())
    [modified] = [event for event in exporter.received() if short(event) == "repository.modified"]
    assert modified["data"]["subject"]["content"].get("uri") == uri
    assert official.accepts(modified["data"])


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        (["a", "b", "a"], ["deployed", "upgraded", "rolledback"]),
        (["a", "a", "b", "b"], ["deployed", "upgraded"]),
        (["a", "b", "a", "b"], ["deployed", "upgraded", "rolledback", "rolledback"]),
        ([None, "a", None, "a", None, "b"], ["deployed", "upgraded"]),
    ],
)
@pytest.mark.parametrize("batches", ["one batch", "many batches", "restarts"])
def test_a_service_is_deployed_then_upgraded_or_rolled_back(batches, commits, expected, emitted, start):
    exporter = start()
    for commit in commits:
        deploy(commit)
        if batches != "one batch":
            exporter.export(emitted())
        if batches == "restarts":
            exporter.close()
            exporter = start()
    exporter.export(emitted())
    assert services(exporter.received()) == expected


def test_each_environment_and_repository_has_a_history_of_its_own(emitted, start):
    for namespace, name in (("prod", "my-app"), ("test", "my-app"), ("prod", "other")):
        deploy("a", namespace=namespace, name=name)
    exporter = start()
    exporter.export(emitted())
    assert services(exporter.received()) == ["deployed"] * 3


def test_a_failed_sync_deploys_nothing(emitted, start):
    fail()
    deploy("a")
    exporter = start()
    exporter.export(emitted())
    assert services(exporter.received()) == ["deployed"]


def test_a_batch_that_arrives_again_later_changes_nothing(emitted, start):
    exporter = start()
    deploy("a")
    first = emitted()
    deploy("b")
    for each in (first, emitted(), first):
        exporter.export(each)
    deploy("b")
    exporter.export(emitted())
    assert services(exporter.received()) == ["deployed", "upgraded"]


def test_a_deployment_of_any_time_is_accepted(start):
    values = {"alumiini.repo.name": "my-app", "alumiini.repo.commit": "a", "k8s.namespace.name": "prod"}
    exporter = start()
    exporter.export(logs(("alumiini.sync_completed", values), at=2**64 - 1))
    assert services(exporter.received()) == ["deployed"]


def test_only_so_many_deployments_are_kept_as_the_settings_say(emitted, start):
    exporter = start(retention={"deployments": 2})
    for commit in ("a", "b", "c", "a", "c"):
        deploy(commit)
        exporter.export(emitted())
    assert services(exporter.received()) == ["deployed", "upgraded", "upgraded", "upgraded", "rolledback"]


def test_the_events_of_a_sync_are_one_chain(emitted, start):
    with sync(SHOP, trigger="poll", namespace="prod"):
        fetch()
        drift_corrected("Service", "web")
    deploy("b")
    exporter = start()
    exporter.export(emitted())
    *first, _, _, _ = exporter.received()
    contexts = {short(event): event["data"]["context"] for event in first}
    assert len({context["chainId"] for context in contexts.values()}) == 1
    started = contexts.pop("alumiini-deployment.started")
    assert "links" not in started
    for context in contexts.values():
        assert [link["from"]["contextId"] for link in context["links"]] == [started["id"]]


LEGACY = {
    "dev.cdevents.deployment.started",
    "dev.cdevents.deployment.finished",
    "dev.cdevents.deployment.failed",
    "dev.cdevents.repository.changed",
}
"""The types of seed 002, section 7, which CDEvents does not define."""


@pytest.mark.parametrize("enabled", [True, False])
def test_with_legacy_types_the_seed_s_types_are_sent_beside_the_valid_ones(enabled, emitted, start):
    fetch()
    deploy("a")
    fail()
    exporter = start(legacy_types=enabled)
    exporter.export(emitted())
    events = exporter.received()
    legacy = [event for event in events if event["type"] in LEGACY]
    assert {event["type"] for event in legacy} == (LEGACY if enabled else set())
    for event in legacy:
        twins = [each for each in events if each["type"].startswith("dev.cdeventsx.") and _twin(each, event)]
        assert len(twins) == 1
        assert event["data"]["context"]["type"] == event["type"]


def _twin(event: dict[str, Any], legacy: dict[str, Any]) -> bool:
    """Return whether two events differ in nothing but type and id."""
    same = {"time", "subject", "source", "traceparent"}
    return all(event[name] == legacy[name] for name in same) and (
        event["data"]["subject"] == legacy["data"]["subject"]
        and event["data"]["context"]["chainId"] == legacy["data"]["context"]["chainId"]
        and event["id"] != legacy["id"]
    )


def test_an_invalid_event_is_not_sent_with_a_legacy_type_either(emitted, start):
    with sync(Repository(""), trigger="poll"):
        pass
    exporter = start(legacy_types=True)
    exporter.export(emitted())
    assert exporter.received() == []
    assert exporter.counts() == {("", "dead"): 4}


def roll_out(rollout: str | None) -> None:
    with sync(Repository("my-app", URL, commit="a", rollout_ref=rollout), trigger="poll", namespace="prod"):
        pass


def test_kulta_gets_the_deployments_with_a_rollout_and_ahti_gets_all(emitted, start, kulta, tmp_path):
    roll_out("my-app-rollout")
    roll_out(None)
    with sync(Repository("x", rollout_ref="r2")) as running:
        running.fail("the cluster is gone", "apply_error")
    exporter = start(
        sinks=[
            {"type": "file", "path": str(tmp_path / "all.jsonl")},
            {
                "type": "http",
                "url": f"http://127.0.0.1:{kulta.server_port}/",
                "types": ["dev.cdeventsx.alumiini-deployment.*"],
                "content": {"rolloutRef": "*"},
            },
        ]
    )
    exporter.export(emitted())
    everything = [event["data"] for event in exporter.received()]
    wanted = [event for event in everything if event["subject"]["content"].get("rolloutRef")]
    assert [event["subject"]["content"]["rolloutRef"] for event in wanted] == ["my-app-rollout"] * 2 + [
        "r2"
    ] * 2
    assert sorted(kulta.events, key=str) == sorted(wanted, key=str)
    assert len(everything) > len(wanted)


def test_kulta_s_answers_join_the_chain_of_the_deployment(emitted, start, kulta, tmp_path, is_accepted):
    registry = tmp_path / "kulta.yaml"
    registry.write_text(KULTA)
    roll_out("my-app-rollout")
    exporter = start(
        registry=[str(registry)],
        sinks=[
            {"type": "file", "path": str(tmp_path / "all.jsonl")},
            {
                "type": "http",
                "url": f"http://127.0.0.1:{kulta.server_port}/",
                "content": {"rolloutRef": "my-app-*"},
            },
        ],
    )
    exporter.export(emitted())
    exporter.received()
    # KULTA is another process with a trace of its own, and answers with the chain that it has received.
    started = next(each for each in kulta.events if ".started." in each["context"]["type"])
    values = {
        "kulta.rollout": started["subject"]["content"]["rolloutRef"],
        "assay.correlation_id": started["context"]["chainId"],
    }
    exporter.export(logs(("kulta.progressed", values), ("kulta.finished", values)))
    answers = [event["data"] for event in exporter.received() if "kulta-" in event["type"]]
    assert len(answers) == 2
    for answer in answers:
        assert answer["context"]["chainId"] == started["context"]["chainId"]
        assert [link["from"]["contextId"] for link in answer["context"]["links"]] == [
            started["context"]["id"]
        ]
        assert is_accepted(answer)
