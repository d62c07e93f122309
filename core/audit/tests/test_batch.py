"""Records that wait in a queue, in memory and on disk, until the endpoint or the log has confirmed them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

import pytest
from opentelemetry import baggage, context

from assay.audit import (
    AuditProvider,
    AuditRecord,
    BatchProcessor,
    ConfigurationError,
    ConflictError,
    DiskQueue,
    ExportError,
    MemoryQueue,
    OTLPAuditExporter,
    QueueFullError,
    Receipts,
    RecordError,
    RejectedError,
    ShutdownError,
    UnconfirmedError,
)
from assay.audit._delivery import RESEND_AFTER

LOGIN = AuditRecord(event_name="user.login", action="LOGIN", outcome="success")
PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Gate:
    """An exporter that accepts records once it is opened, and rejects those whose target is `bad`."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.error = None
        self.requests = []

    def export(self, request):
        self.entered.set()
        assert self.opened.wait(30)
        if self.error:
            raise self.error
        self.requests.append(request)
        if any(attributes.get("audit.target.id") == "bad" for attributes in attributes_of(request)):
            raise RejectedError("bad", 400, is_final=True)
        return []

    def shutdown(self) -> None:
        self.opened.set()


class Log:
    """A source of receipts for the records that it has."""

    def __init__(self) -> None:
        self.stored, self.quarantined, self.asked = {}, {}, threading.Semaphore(0)

    def receipts(self, record_ids):
        self.asked.release()
        return Receipts(
            {one: self.stored[one] for one in record_ids if one in self.stored},
            {one: self.quarantined[one] for one in record_ids if one in self.quarantined},
        )

    def store(self, receipt, digest=""):
        digest = digest or receipt.integrity_hash
        self.stored[receipt.record_id] = {"integrity_hash": digest, "sink_timestamp": "17"}


def attributes_of(request) -> list[dict[str, str]]:
    return [
        {pair.key: pair.value.string_value for pair in record.attributes}
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture(params=["memory", "disk"])
def queue(request, tmp_path):
    return MemoryQueue() if request.param == "memory" else DiskQueue(tmp_path / "queue")


@pytest.fixture
def provide():
    """Return a function that makes a provider; shut the providers down after the test."""
    made = []

    def make(exporter, queue, **settings):
        made.append(AuditProvider(BatchProcessor(exporter, queue, **settings), {"service.name": "orders"}))
        return made[-1]

    yield make
    for provider in made:
        provider.shutdown(0)


def test_emit_async_returns_before_the_endpoint_answers(gate, queue, provide):
    provider = provide(gate, queue)
    future = provider.get_logger("tests").emit_async(LOGIN)
    assert not future.done()
    gate.opened.set()
    assert provider.force_flush(10)
    assert future.result(0).record_id == future.accepted.result(0).record_id


def test_a_record_is_accepted_when_it_is_on_disk_or_without_one_when_the_endpoint_has_it(
    gate, tmp_path, provide
):
    on_disk = provide(gate, DiskQueue(tmp_path / "queue")).get_logger("tests").emit_async(LOGIN)
    assert on_disk.accepted.result(10)
    provider = provide(gate, MemoryQueue(), delay=0.01)
    in_memory = provider.get_logger("tests").emit_async(LOGIN)
    assert gate.entered.wait(10)
    assert not in_memory.accepted.done()
    gate.opened.set()
    assert in_memory.accepted.result(10)


def test_emit_waits_for_no_other_record(gate, queue, provide):
    gate.opened.set()
    logger = provide(gate, queue, delay=3600).get_logger("tests")
    assert logger.emit(LOGIN, timeout=30).record_id


def test_emit_without_a_receipt_in_time_says_that_the_record_waits(gate, queue, provide):
    gate.opened.set()
    gate.error = ExportError("because")
    provider = provide(gate, queue)
    with pytest.raises(UnconfirmedError, match="do not emit it again"):
        provider.get_logger("tests").emit(LOGIN, timeout=0.2)
    gate.error = None
    assert provider.force_flush(10)
    assert len(gate.requests) == 1


def test_records_that_wait_together_are_one_request_with_one_resource(gate, queue, provide):
    gate.opened.set()
    provider = provide(gate, queue, batch_size=3, delay=3600)
    for _ in range(7):
        provider.get_logger("tests").emit_async(LOGIN)
    assert provider.force_flush(10)
    sizes = [len(attributes_of(request)) for request in gate.requests]
    assert sum(sizes) == 7
    assert max(sizes) <= 3
    assert {len(request.resource_logs) for request in gate.requests} == {1}


def test_a_record_has_the_context_of_its_emission(gate, queue, provide):
    provider = provide(gate, queue)
    token = context.attach(baggage.set_baggage("audit.actor.id", "bea"))
    try:
        provider.get_logger("tests").emit_async(LOGIN)
    finally:
        context.detach(token)
    gate.opened.set()
    assert provider.force_flush(10)
    assert attributes_of(gate.requests[0])[0]["audit.actor.id"] == "bea"


def test_an_invalid_record_is_the_callers_error(gate, queue, provide):
    with pytest.raises(RecordError):
        provide(gate, queue).get_logger("tests").emit_async(
            AuditRecord(event_name="", action="LOGIN", outcome="success")
        )


@pytest.mark.parametrize("setting", ["queue_size", "batch_size", "delay"])
def test_a_number_that_is_not_above_0_is_an_error(gate, setting):
    with pytest.raises(ConfigurationError, match=setting):
        BatchProcessor(gate, **{setting: 0})


def test_a_rejected_record_fails_alone(gate, queue, provide):
    gate.opened.set()
    provider = provide(gate, queue, delay=3600)
    logger = provider.get_logger("tests")
    good = [logger.emit_async(LOGIN) for _ in range(4)]
    bad = logger.emit_async(
        AuditRecord(event_name="user.login", action="LOGIN", outcome="success", target_id="bad")
    )
    good += [logger.emit_async(LOGIN) for _ in range(4)]
    assert provider.force_flush(10)
    with pytest.raises(RejectedError):
        bad.result(0)
    assert len({future.result(0).record_id for future in good}) == 8


def test_a_wrong_token_rejects_no_record(server, queue, provide, caplog):
    answers = server((401, {}, b"wrong token"), (200, PROTOBUF, b""))
    provider = provide(OTLPAuditExporter(answers.url, retries=0), queue, delay=0.01)
    with caplog.at_level(logging.WARNING, "assay.audit"):
        assert provider.get_logger("tests").emit_async(LOGIN).result(30)
    (warning,) = [record.message for record in caplog.records if "wrong token" in record.message]
    assert warning.startswith("audit records wait (1)")


def test_the_sender_retries_until_the_endpoint_accepts(server, queue, provide):
    busy = (503, {"Retry-After": "0"}, b"busy")
    answers = server(busy, busy, (200, PROTOBUF, b""))
    provider = provide(OTLPAuditExporter(answers.url, retries=0), queue, delay=0.01)
    assert provider.get_logger("tests").emit_async(LOGIN).result(30)
    assert len(answers.got) == 3


def test_flush_waits_for_the_callbacks_of_a_record(gate, queue, provide):
    provider = provide(gate, queue)
    proceed, called = threading.Event(), threading.Event()

    def callback(_):
        proceed.wait(30)
        called.set()

    provider.get_logger("tests").emit_async(LOGIN).add_done_callback(callback)
    gate.opened.set()
    assert not provider.force_flush(0.1)
    proceed.set()
    assert provider.force_flush(30)
    assert called.is_set()


def test_an_abandoned_wait_does_not_withdraw_the_record(gate, queue, provide):
    provider = provide(gate, queue)

    async def main() -> None:
        future = provider.get_logger("tests").emit_async(LOGIN)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), 0.01)

    asyncio.run(main())
    gate.opened.set()
    assert provider.force_flush(10)
    assert len(gate.requests) == 1


def test_shutdown_sends_what_waits(gate, queue, provide):
    gate.opened.set()
    provider = provide(gate, queue, delay=3600)
    futures = [provider.get_logger("tests").emit_async(LOGIN) for _ in range(3)]
    logger = provider.get_logger("tests")
    assert provider.shutdown(10)
    assert all(future.done() and future.result() for future in futures)
    with pytest.raises(ShutdownError):
        logger.emit_async(LOGIN)


def test_shutdown_fails_what_still_waits_in_memory(gate, provide):
    provider = provide(gate, MemoryQueue())
    futures = [provider.get_logger("tests").emit_async(LOGIN) for _ in range(3)]
    assert not provider.shutdown(0.01)
    for future in futures:
        with pytest.raises(ExportError, match="the process ended before the endpoint accepted the record"):
            future.result(0)


def test_shutdown_leaves_what_still_waits_on_disk_to_the_next_process(gate, tmp_path, provide):
    queue = DiskQueue(tmp_path / "queue")
    gate.opened.set()
    gate.error = ExportError("down")
    provider = provide(gate, queue, delay=3600)
    futures = [provider.get_logger("tests").emit_async(LOGIN) for _ in range(3)]
    for future in futures:
        future.accepted.result(10)
    assert not provider.shutdown(600)  # a failed attempt ends the wait
    for future in futures:
        with pytest.raises(UnconfirmedError, match="the next process sends it"):
            future.result(0)
    gate.error = None
    following = provide(gate, queue, delay=3600)
    assert following.get_logger("tests").emit(LOGIN, timeout=30)
    assert following.force_flush(30)
    assert sum(len(attributes_of(request)) for request in gate.requests) == 4


def test_more_records_than_the_high_water_mark_are_warned_about_and_kept(gate, provide, caplog):
    provider = provide(gate, MemoryQueue(high_water=2), delay=0.01)
    logger = provider.get_logger("tests")
    futures = [logger.emit_async(LOGIN)]
    assert gate.entered.wait(10)  # the others wait while it is sent
    futures += [logger.emit_async(LOGIN) for _ in range(3)]
    deadline = time.monotonic() + 10
    while "wait in memory" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    gate.opened.set()
    assert provider.force_flush(10)
    assert all(future.result(0) for future in futures)


def test_a_record_that_waits_is_kept_once_and_another_under_its_id_is_the_callers_error(gate, queue, provide):
    provider = provide(gate, queue, delay=3600)
    same = {"event_name": "e", "action": "A", "outcome": "success", "time_unix_nano": 1}
    same |= {"observed_time_unix_nano": 1, "record_id": "c0ffee00-0000-4000-8000-000000000000"}
    logger = provider.get_logger("tests")
    futures = [logger.emit_async(AuditRecord(**same)) for _ in range(2)]
    other = logger.emit_async(AuditRecord(**same, target_id="x"))
    with pytest.raises(ConflictError, match="c0ffee00"):
        other.result(10)
    gate.opened.set()
    assert provider.force_flush(10)
    assert futures[0].result(0) == futures[1].result(0)
    assert sum(len(attributes_of(request)) for request in gate.requests) == 1


def test_a_full_disk_is_the_callers_error_and_loses_no_accepted_record(gate, tmp_path, provide):
    provider = provide(gate, DiskQueue(tmp_path / "queue", max_bytes=100_000))
    logger = provider.get_logger("tests")
    accepted, error = [], None
    for _ in range(1000):
        future = logger.emit_async(LOGIN)
        try:
            accepted.append(future.accepted.result(10).record_id)
        except QueueFullError as full:
            error = full
            break
    assert "full" in str(error)
    with pytest.raises(QueueFullError):
        future.result(0)
    gate.opened.set()
    assert provider.force_flush(30)
    sent = [
        attributes["audit.record.id"] for request in gate.requests for attributes in attributes_of(request)
    ]
    assert sorted(sent) == sorted(accepted)
    assert logger.emit(LOGIN, timeout=30)  # there is room again


class TestReceipts:
    """Behind a Collector, the log itself confirms records."""

    @pytest.fixture(autouse=True)
    def often(self, monkeypatch):
        monkeypatch.setattr("assay.audit._schedule.LONGEST_CONFIRMATION", 0.01)
        monkeypatch.setattr("assay.audit._schedule.FIRST_CONFIRMATION", 0.01)

    def test_a_record_is_confirmed_by_the_log_not_by_the_collector(self, gate, queue, provide):
        gate.opened.set()
        log = Log()
        provider = provide(gate, queue, receipts=log, delay=0.01)
        future = provider.get_logger("tests").emit_async(LOGIN)
        receipt = future.accepted.result(10)
        for _ in range(2):
            assert log.asked.acquire(timeout=10)
        assert provider.force_flush(10)
        assert not future.done()
        log.store(receipt)
        assert future.result(10).sink_timestamp == 17
        assert len(gate.requests) == 1

    def test_a_record_that_the_log_does_not_get_is_sent_again(self, gate, queue, provide, monkeypatch):
        monkeypatch.setattr("assay.audit._delivery.RESEND_AFTER", 0.05)
        gate.opened.set()
        log = Log()
        provider = provide(gate, queue, receipts=log, delay=0.01)
        future = provider.get_logger("tests").emit_async(LOGIN)
        receipt = future.accepted.result(10)
        for _ in range(200):
            if len(gate.requests) == 3:
                break
            assert log.asked.acquire(timeout=10)
        assert [attributes_of(request) for request in gate.requests[:3]] == [
            attributes_of(gate.requests[0])
        ] * 3
        log.store(receipt)
        assert future.result(10)

    def test_a_record_in_quarantine_fails(self, gate, queue, provide):
        gate.opened.set()
        log = Log()
        provider = provide(gate, queue, receipts=log, delay=0.01)
        future = provider.get_logger("tests").emit_async(LOGIN)
        log.quarantined[future.entry.receipt.record_id] = "because"
        with pytest.raises(RejectedError, match="quarantine: because"):
            future.result(10)

    def test_a_record_that_was_altered_on_its_way_fails(self, gate, queue, provide):
        gate.opened.set()
        log = Log()
        provider = provide(gate, queue, receipts=log, delay=0.01)
        future = provider.get_logger("tests").emit_async(LOGIN)
        log.store(future.entry.receipt, "00" * 32)
        with pytest.raises(RejectedError, match="altered"):
            future.result(10)

    def test_a_source_of_receipts_that_does_not_answer_delays_no_record(self, gate, queue, provide):
        class Silent:
            def receipts(self, record_ids):
                raise ExportError("no receipts here")

        gate.opened.set()
        provider = provide(gate, queue, receipts=Silent(), delay=0.01)
        for _ in range(3):
            assert provider.get_logger("tests").emit_async(LOGIN).accepted.result(10)
            assert provider.force_flush(10)
        assert RESEND_AFTER > 1  # none is sent again because receipts are missing
        assert len(gate.requests) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_sends_its_own_records_only(server, queue, provide):
    answers = server((200, PROTOBUF, b""))
    gate = Gate()
    provider = provide(gate, queue, delay=0.01)
    logger = provider.get_logger("tests")
    waiting = logger.emit_async(LOGIN)
    assert gate.entered.wait(10)
    child = os.fork()
    if child == 0:
        gate.opened.set()
        processor = provider._pipeline.forwarder
        object.__setattr__(processor._delivery, "exporter", OTLPAuditExporter(answers.url))
        done = provider.force_flush(0) and logger.emit(LOGIN, timeout=20) is not None
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(answers.got) == 1
    gate.opened.set()
    assert waiting.result(10)
