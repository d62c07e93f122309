from __future__ import annotations

import uuid
from typing import ClassVar

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from assay.audit import (
    AuditProvider,
    AuditRecord,
    ConfigurationError,
    ExportError,
    OTLPAuditExporter,
    RecordError,
    ShutdownError,
    SimpleProcessor,
    actor,
    integrity_hash,
)
from assay.audit.canonical import content

LOGIN = {"event_name": "user.login", "action": "LOGIN", "outcome": "success"}


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.requests, self.closed, self.error = [], 0, error

    def export(self, request):
        if self.error:
            raise self.error
        self.requests.append(request)
        return []

    def shutdown(self) -> None:
        self.closed += 1

    @property
    def record(self):
        return self.requests[-1].resource_logs[0].scope_logs[0].log_records[0]

    @property
    def attributes(self):
        return {pair.key: pair.value.string_value for pair in self.record.attributes}


def logger_of(exporter, **settings):
    provider = AuditProvider(SimpleProcessor(exporter), {"service.name": "orders"}, **settings)
    return provider.get_logger("tests")


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def logger(kept):
    return logger_of(kept)


def test_empty_fields_are_filled_in(logger, kept):
    receipt = logger.emit(AuditRecord(**LOGIN))
    assert uuid.UUID(receipt.record_id).version == 4
    assert receipt.integrity_hash == integrity_hash(kept.record)
    assert kept.attributes["audit.actor.id"] == "system"
    assert kept.attributes["audit.actor.type"] == "system"
    assert 0 < kept.record.time_unix_nano <= kept.record.observed_time_unix_nano
    assert not kept.record.severity_number
    assert not kept.requests[0].resource_logs[0].scope_logs[0].scope.name


def test_the_actor_comes_from_the_record_else_the_context_else_the_baggage(logger, kept):
    token = context.attach(baggage.set_baggage("audit.actor.id", "bea"))
    try:
        logger.emit(AuditRecord(**LOGIN))
        assert kept.attributes["audit.actor.id"] == "bea"
        with actor(id="alice", type="user"):
            logger.emit(AuditRecord(**LOGIN))
            assert kept.attributes["audit.actor.id"] == "alice"
            logger.emit(AuditRecord(**LOGIN, actor_id="cron", actor_type="system"))
            assert (kept.attributes["audit.actor.id"], kept.attributes["audit.actor.type"]) == (
                "cron",
                "system",
            )
    finally:
        context.detach(token)
    logger.emit(AuditRecord(**LOGIN))
    assert kept.attributes["audit.actor.id"] == "system"


@pytest.mark.parametrize(("id_", "type_"), [("", "user"), ("x", "robot")])
def test_an_invalid_actor_is_rejected(id_, type_):
    with pytest.raises(RecordError), actor(id=id_, type=type_):
        pass


def test_the_record_has_the_current_span(logger, kept):
    span = NonRecordingSpan(SpanContext(trace_id=17, span_id=4, is_remote=False))
    with trace.use_span(span):
        logger.emit(AuditRecord(**LOGIN))
    assert (kept.record.trace_id[-1], kept.record.span_id[-1]) == (17, 4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"event_name": ""}, "event_name"),
        ({"action": ""}, "audit.action"),
        ({"outcome": "maybe"}, "audit.outcome"),
        ({"actor_id": "x", "actor_type": "robot"}, "audit.actor.type"),
        ({"time_unix_nano": 5, "observed_time_unix_nano": 4}, "before"),
        ({"body": {"a": object()}}, "object"),
        ({"body": [[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]}, "deep"),
        ({"body": "\ud800"}, "Unicode|surrogate|UTF"),
        ({"attributes": {"audit.target.type": 5}}, "audit.target.type"),
    ],
)
def test_an_invalid_record_is_the_callers_error(logger, kept, change, named):
    with pytest.raises(RecordError, match=named):
        logger.emit(AuditRecord(**{**LOGIN, **change}))
    assert not kept.requests


def test_emit_after_shutdown_is_an_error_and_shutdown_runs_once(kept):
    provider = AuditProvider(SimpleProcessor(kept))
    logger = provider.get_logger("tests")
    assert provider.shutdown()
    assert provider.shutdown()
    assert provider.force_flush()
    assert kept.closed == 1
    for emit in (logger.emit, logger.emit_async):
        with pytest.raises(ShutdownError):
            emit(AuditRecord(**LOGIN))
    with pytest.raises(ShutdownError):
        provider.get_logger("another")


def test_a_record_that_was_not_accepted_is_an_error():
    with pytest.raises(ExportError):
        logger_of(Kept(ExportError("no"))).emit(AuditRecord(**LOGIN))


def test_a_sampler_is_refused_and_nothing_can_be_asked_whether_it_is_enabled(kept, logger):
    with pytest.raises(ConfigurationError, match="never sampled"):
        AuditProvider(SimpleProcessor(kept), sampler=object())
    assert not hasattr(logger, "enabled")


def test_equal_arguments_return_the_same_logger_and_an_empty_name_a_working_one(kept, caplog):
    provider = AuditProvider(SimpleProcessor(kept))
    assert provider.get_logger("a", "1") is provider.get_logger("a", "1")
    assert provider.get_logger("a", "1") is not provider.get_logger("a", "2")
    provider.get_logger("").emit(AuditRecord(**LOGIN))
    assert "has no name" in caplog.text


def test_a_simple_processor_refuses_to_block_an_event_loop(logger, kept):
    with pytest.raises(ConfigurationError, match="BatchProcessor"):
        logger.emit_async(AuditRecord(**LOGIN))
    assert not kept.requests


class Adding:
    """A processor that adds attributes, and tries to change the record."""

    resource_attributes: ClassVar = {"audit.test": "resource"}

    def __init__(self, added):
        self.added = added

    def additions(self, record):
        self.seen = {pair.key: pair.value.string_value for pair in record.attributes}
        record.event_name = "changed"
        del record.attributes[:]
        return self.added


def test_processors_add_attributes_in_their_order_and_cannot_change_the_record(kept):
    first, second = Adding({"one": "1"}), Adding({"two": "2"})
    second.resource_attributes = {}
    receipt = logger_of(kept, processors=[first, second]).emit(AuditRecord(**LOGIN))
    assert kept.record.event_name == "user.login"
    assert (kept.attributes["one"], kept.attributes["two"]) == ("1", "2")
    assert second.seen["one"] == "1"
    assert receipt.integrity_hash == integrity_hash(kept.record)
    resource = {
        pair.key: pair.value.string_value for pair in kept.requests[0].resource_logs[0].resource.attributes
    }
    assert resource == {"service.name": "orders", "audit.test": "resource"}


def test_a_processor_that_replaces_an_attribute_is_the_callers_error(kept):
    with pytest.raises(ConfigurationError, match=r"Adding changes audit\.outcome"):
        logger_of(kept, processors=[Adding({"audit.outcome": "failure"})]).emit(AuditRecord(**LOGIN))
    assert not kept.requests


def test_a_record_observed_long_after_it_happened_is_warned_about_once_a_minute(logger, caplog, monkeypatch):
    monkeypatch.setattr("assay.audit._clock._silent_until", {"difference": 0.0, "offset": 0.0})
    for _ in range(2):
        logger.emit(AuditRecord(**LOGIN, time_unix_nano=10**18, observed_time_unix_nano=10**18 + 6 * 10**9))
    logger.emit(AuditRecord(**LOGIN, time_unix_nano=10**18, observed_time_unix_nano=10**18 + 4 * 10**9))
    assert [record.message.partition(" after")[0] for record in caplog.records] == [
        "audit record user.login was observed 6.0 s"
    ]


def test_a_bus_event_becomes_a_record(logger, kept):
    attributes = {
        "audit.action": "APPROVE",
        "audit.outcome": "success",
        "audit.actor.id": "ci",
        "audit.actor.type": "api",
        "audit.target.id": "a-1",
        "assay.correlation_id": "run-1",
    }
    logger.emit_event("flowstone.checkpoint.approved", attributes, {"reason": "fine"}, time_unix_nano=7)
    assert kept.attributes["audit.actor.type"] == "service"
    assert kept.attributes["assay.correlation_id"] == "run-1"
    assert kept.record.time_unix_nano == 7
    members = content(kept.record)[0]["body"]["kvlistValue"]["values"]
    assert members == {"reason": {"stringValue": "fine"}, "actor_type": {"stringValue": "api"}}


def test_the_sinks_timestamp_is_in_the_receipt(server):
    record_id = str(uuid.uuid4())
    body = f'{{"receipts": [{{"record_id": "{record_id}", "sink_timestamp": "1714041600000000001"}}]}}'
    answers = server((200, {"Content-Type": "application/json"}, body.encode()))
    logger = logger_of(OTLPAuditExporter(answers.url))
    assert logger.emit(AuditRecord(**LOGIN, record_id=record_id)).sink_timestamp == 1714041600000000001
