from __future__ import annotations

import uuid

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from assay.audit import (
    AuditLogger,
    AuditRecord,
    ExportError,
    OTLPAuditExporter,
    RecordError,
    ShutdownError,
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


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def logger(kept):
    return AuditLogger(kept, {"service.name": "orders"})


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


def test_emit_after_shutdown_is_an_error_and_shutdown_runs_once(logger, kept):
    logger.shutdown()
    logger.shutdown()
    assert kept.closed == 1
    with pytest.raises(ShutdownError):
        logger.emit(AuditRecord(**LOGIN))


def test_a_record_that_was_not_accepted_is_an_error():
    with pytest.raises(ExportError):
        AuditLogger(Kept(ExportError("no")), {}).emit(AuditRecord(**LOGIN))


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
    logger = AuditLogger(OTLPAuditExporter(answers.url), {})
    assert logger.emit(AuditRecord(**LOGIN, record_id=record_id)).sink_timestamp == 1714041600000000001
