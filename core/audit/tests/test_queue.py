"""Records that are submitted without blocking."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

import pytest
from opentelemetry import baggage, context

from assay.audit import (
    AuditLogger,
    AuditRecord,
    ExportError,
    OTLPAuditExporter,
    QueueFullError,
    RecordError,
    ShutdownError,
)

LOGIN = AuditRecord(event_name="user.login", action="LOGIN", outcome="success")
PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Gate:
    """An exporter that accepts records once it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.requests = []

    def export(self, request):
        self.entered.set()
        assert self.opened.wait(30)
        self.requests.append(request)
        return []

    def shutdown(self) -> None:
        self.opened.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


def actors(requests) -> list[str]:
    return [
        pair.value.string_value
        for request in requests
        for pair in request.resource_logs[0].scope_logs[0].log_records[0].attributes
        if pair.key == "audit.actor.id"
    ]


def test_submit_returns_before_the_endpoint_answers(gate):
    logger = AuditLogger(gate, {})
    future = logger.submit(LOGIN)
    assert gate.entered.wait(10)
    assert not future.done()
    gate.opened.set()
    assert future.result(10).record_id
    assert logger.flush(10)


def test_a_record_has_the_context_of_its_submission(gate):
    logger = AuditLogger(gate, {})
    token = context.attach(baggage.set_baggage("audit.actor.id", "bea"))
    try:
        logger.submit(LOGIN)
    finally:
        context.detach(token)
    gate.opened.set()
    assert logger.flush(10)
    assert actors(gate.requests) == ["bea"]


def test_an_invalid_record_is_the_callers_error(gate):
    with pytest.raises(RecordError):
        AuditLogger(gate, {}).submit(AuditRecord(event_name="", action="LOGIN", outcome="success"))


def test_a_full_queue_is_the_callers_error_and_loses_no_other_record(gate):
    logger = AuditLogger(gate, {}, queue_size=2)
    futures = [logger.submit(LOGIN)]
    assert gate.entered.wait(10)  # the first is not in the queue any more
    futures += [logger.submit(LOGIN) for _ in range(2)]
    with pytest.raises(QueueFullError, match="2 audit records wait already"):
        logger.submit(LOGIN)
    gate.opened.set()
    assert len({future.result(10).record_id for future in futures}) == 3


def test_shutdown_hands_over_what_waits(gate):
    logger = AuditLogger(gate, {})
    futures = [logger.submit(LOGIN) for _ in range(3)]
    gate.opened.set()
    logger.shutdown(10)
    assert all(future.done() and future.result() for future in futures)
    with pytest.raises(ShutdownError):
        logger.submit(LOGIN)


def test_shutdown_fails_what_still_waits_after_its_timeout(gate):
    logger = AuditLogger(gate, {})
    futures = [logger.submit(LOGIN) for _ in range(3)]
    logger.shutdown(0.01)
    for future in futures:
        with pytest.raises(ExportError, match="the process ended"):
            future.result(0)


def test_the_worker_retries_until_the_endpoint_accepts(server, caplog):
    busy = (503, {"Retry-After": "0"}, b"busy")
    answers = server(busy, busy, (200, PROTOBUF, b""))
    logger = AuditLogger(OTLPAuditExporter(answers.url, retries=0), {})
    with caplog.at_level(logging.WARNING, "assay.audit"):
        assert logger.submit(LOGIN).result(30)
    assert len(answers.got) == 3
    (warning,) = [record.message for record in caplog.records if "busy" in record.message]
    assert warning.startswith("audit records wait in memory (1) and are lost if the process ends: http://")


def test_a_final_rejection_fails_the_future(server):
    logger = AuditLogger(OTLPAuditExporter(server((400, {}, b"because")).url), {})
    with pytest.raises(ExportError, match="because"):
        logger.submit(LOGIN).result(10)


def test_flush_waits_for_the_callbacks_of_a_record(gate):
    logger = AuditLogger(gate, {})
    proceed, called = threading.Event(), threading.Event()

    def callback(_):
        proceed.wait(30)
        called.set()

    logger.submit(LOGIN).add_done_callback(callback)
    gate.opened.set()
    assert not logger.flush(0.1)
    proceed.set()
    assert logger.flush(30)
    assert called.is_set()


def test_an_abandoned_wait_does_not_withdraw_the_record(gate):
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(logger.submit(LOGIN)), 0.01)

    logger = AuditLogger(gate, {})
    asyncio.run(main())
    gate.opened.set()
    assert logger.flush(10)
    assert len(gate.requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_exports_its_own_records_only(server):
    answers = server((200, PROTOBUF, b""))
    gate = Gate()
    logger = AuditLogger(gate, {})
    waiting = logger.submit(LOGIN)
    assert gate.entered.wait(10)
    child = os.fork()
    if child == 0:
        gate.opened.set()
        logger._exporter = OTLPAuditExporter(answers.url)
        done = logger.flush(0) and logger.submit(LOGIN).result(10) is not None
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(answers.got) == 1
    gate.opened.set()
    assert waiting.result(10)
