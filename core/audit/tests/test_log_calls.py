"""Calls of `logging` and `structlog` that become audit records."""

from __future__ import annotations

import asyncio
import logging

import pytest
import structlog

from assay.audit import RecordError, _default, actor
from assay.audit.instruments import DROPPED
from assay.audit.log_handler import AUDIT, AuditHandler
from assay.audit.structlog_processor import AuditProcessor

REFUND = {"action": "REFUND", "outcome": "success", "target_id": "order-17"}


@pytest.fixture
def attach():
    """Attach a handler to a logger that discards everything up to CRITICAL."""
    log, handlers = logging.getLogger("orders.refunds"), []

    def attach(**settings):
        handlers.append(AuditHandler(**settings))
        log.addHandler(handlers[-1])
        return log

    yield attach
    for handler in handlers:
        log.removeHandler(handler)


def test_log_call_with_audit_fields_is_a_record(app_log, attach):
    log = attach()
    with actor(id="alice"):
        log.warning("refunded %s", "order-17", extra={"audit": REFUND})
    expected = {
        "name": "orders.refunds",
        "body": "refunded order-17",
        "audit.action": "REFUND",
        "audit.outcome": "success",
        "audit.target.id": "order-17",
        "audit.actor.id": "alice",
    }
    record = app_log.record()
    assert {key: record.get(key) for key in expected} == expected


def test_fields_of_the_call_take_precedence(app_log, attach):
    fields = {**REFUND, "event_name": "order.refunded", "body": "17"}
    attach().log(AUDIT, "refunded", extra={"audit": fields})
    record = app_log.record()
    assert (record["name"], record["body"]) == ("order.refunded", "17")


def test_other_log_calls_are_not_records(app_log, attach):
    attach().critical("out of paper")
    assert app_log.records() == []


def test_no_level_discards_the_level_audit(app_log, attach, monkeypatch):
    log = attach()
    monkeypatch.setattr(log, "level", logging.CRITICAL)
    logging.disable()
    try:
        log.log(AUDIT, "refunded", extra={"audit": REFUND})
    finally:
        logging.disable(logging.NOTSET)
    assert logging.getLevelName(AUDIT) == "AUDIT"
    assert app_log.record()["audit.target.id"] == "order-17"


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"audit": {}},
        {"audit": "REFUND"},
        {"audit": {**REFUND, "target": "order-17"}},
        {"audit": {**REFUND, "outcome": "maybe"}},
        {"audit": {**REFUND, "attributes": 5}},
        {"audit": {**REFUND, "time_unix_nano": "now"}},
    ],
)
def test_invalid_fields_are_logged_and_counted(extra, app_log, attach, caplog):
    dropped = DROPPED._value
    attach().log(AUDIT, "refunded", extra=extra)
    assert "orders.refunds was not accepted" in caplog.text
    assert dropped + 1 == DROPPED._value
    assert app_log.records() == []


def test_handler_that_fails_closed_raises_to_the_log_call(app_log, attach):
    with pytest.raises(RecordError, match="outcome"):
        attach(fail_closed=True).log(AUDIT, "refunded", extra={"audit": {"action": "REFUND"}})


def test_handler_on_an_event_loop_emits(app_log, attach):
    async def call():
        attach().log(AUDIT, "refunded", extra={"audit": REFUND})

    asyncio.run(call())
    assert app_log.record()["audit.action"] == "REFUND"


def test_missing_provider_is_logged(attach, monkeypatch, caplog):
    monkeypatch.setattr(_default, "_provider", None)
    attach().log(AUDIT, "refunded", extra={"audit": REFUND})
    assert "set_provider" in caplog.text


def structlog_of(processor):
    return structlog.wrap_logger(
        structlog.testing.CapturingLogger(),
        processors=[processor, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
    )


def test_structlog_call_with_audit_fields_is_a_record(app_log):
    log = structlog_of(AuditProcessor()).bind(card="visa-7d1f0c2b")
    with actor(id="alice"):
        log.info("order.refunded", audit=REFUND)
    record = app_log.record()
    assert (record["name"], record["audit.target.id"]) == ("order.refunded", "order-17")
    assert record["audit.actor.id"] == "alice"
    assert "visa-7d1f0c2b" not in str(record)
    (printed,) = log._logger.calls
    assert record["audit.record.id"] in printed.args[0]
    assert "REFUND" not in printed.args[0]


def test_other_structlog_calls_are_not_records(app_log):
    log = structlog_of(AuditProcessor())
    log.info("out of paper", tray=2)
    assert app_log.records() == []
    assert log._logger.calls[0].args == ('{"tray": 2, "event": "out of paper"}',)


def test_structlog_calls_of_coroutines_keep_the_actor(app_log):
    log = structlog_of(AuditProcessor())

    async def call():
        with actor(id="alice"):
            await asyncio.to_thread(log.info, "order.refunded", audit=REFUND)

    asyncio.run(call())
    assert app_log.record()["audit.actor.id"] == "alice"


def test_structlog_call_with_invalid_fields_goes_on(app_log, caplog):
    log = structlog_of(AuditProcessor())
    log.info("order.refunded", audit={"action": "REFUND"})
    assert "order.refunded was not accepted" in caplog.text
    assert len(log._logger.calls) == 1


def test_structlog_processor_that_fails_closed_raises(app_log):
    log = structlog_of(AuditProcessor(fail_closed=True))
    with pytest.raises(RecordError, match="outcome"):
        log.info("order.refunded", audit={"action": "REFUND"})
    assert log._logger.calls == []
