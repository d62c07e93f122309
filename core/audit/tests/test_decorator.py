from __future__ import annotations

import asyncio

import pytest

from assay.audit import (
    AuditProvider,
    AuditRecord,
    BatchProcessor,
    ConfigurationError,
    DiskQueue,
    OTLPAuditExporter,
    QueueFullError,
    RecordError,
    ShutdownError,
    _default,
    actor,
    audited,
    get_logger,
)
from assay.audit.instruments import DROPPED

REFUND = AuditRecord(event_name="order.refund", action="REFUND", outcome="success")


class LockedError(Exception):
    pass


@audited("document.delete", action="DELETE", target=lambda document, *_: document, target_type="document")
def delete(document, force=False):
    """Delete it."""
    if document == "locked" and not force:
        raise LockedError(document)
    return f"{document} deleted"


@audited("document.delete", action="DELETE", target=lambda document: document)
async def delete_async(document):
    await asyncio.sleep(0)
    if document == "locked":
        raise LockedError(document)
    return f"{document} deleted"


def test_call_that_returns_is_a_success(app_log):
    with actor(id="alice"):
        assert delete("a") == "a deleted"
    expected = {
        "name": "document.delete",
        "audit.action": "DELETE",
        "audit.outcome": "success",
        "audit.target.id": "a",
        "audit.target.type": "document",
        "audit.actor.id": "alice",
    }
    record = app_log.record()
    assert {key: record.get(key) for key in expected} == expected
    assert (delete.__name__, delete.__doc__) == ("delete", "Delete it.")


def test_call_that_raises_is_a_failure_and_raises_the_same_exception(app_log):
    with pytest.raises(LockedError) as raised:
        delete("locked")
    assert raised.value.__cause__ is None
    record = app_log.record()
    assert record["audit.outcome"] == "failure"
    assert record["audit.target.id"] == "locked"
    assert record["error.type"].endswith(".LockedError")


def test_arguments_by_name_reach_the_target_by_position(app_log):
    delete(document="locked", force=True)
    assert app_log.record()["audit.target.id"] == "locked"


def test_coroutine_functions_have_the_same_outcomes(app_log):
    assert asyncio.iscoroutinefunction(delete_async)

    async def calls():
        assert await delete_async("a") == "a deleted"
        with pytest.raises(LockedError):
            await delete_async("locked")

    asyncio.run(calls())
    records = app_log.records()
    assert [(record["audit.target.id"], record["audit.outcome"]) for record in records] == [
        ("a", "success"),
        ("locked", "failure"),
    ]


def test_cancelled_call_is_a_failure(app_log):
    @audited("sync.run", action="EXECUTE")
    async def wait():
        await asyncio.Event().wait()

    async def cancel():
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert app_log.record()["audit.outcome"] == "failure"


def test_closed_coroutine_is_a_failure(app_log):
    @audited("sync.run", action="EXECUTE")
    async def wait():
        await asyncio.Event().wait()

    async def close():
        coroutine = wait()
        coroutine.send(None)
        coroutine.close()

    asyncio.run(close())
    assert app_log.record()["error.type"] == "GeneratorExit"


def test_wrong_call_raises_its_own_type_error(app_log):
    with pytest.raises(TypeError, match="delete"):
        delete()
    assert app_log.record()["audit.outcome"] == "failure"


def test_unknown_target_is_logged_and_the_record_has_none(app_log, caplog):
    @audited("document.delete", action="DELETE", target=lambda document: document.id)
    def delete(document):
        return "deleted"

    assert delete(None) == "deleted"
    assert "audit.target.id" not in app_log.record()
    assert "target of" in caplog.text


def test_function_that_fails_closed_does_not_run_without_its_target(app_log):
    ran = []

    @audited("document.delete", action="DELETE", target=lambda document: document.id, fail_closed=True)
    def delete(document):
        ran.append(document)

    with pytest.raises(RecordError, match="target"):
        delete(None)
    assert not ran
    assert not app_log.records()


@pytest.fixture
def full_logger(server, tmp_path):
    """A logger whose queue has no room, since its endpoint is down."""
    answers = server((503, {}, b""))
    queue = DiskQueue(tmp_path / "full", max_bytes=50_000)
    provider = AuditProvider(BatchProcessor(OTLPAuditExporter(answers.url, retries=0), queue))
    logger = provider.get_logger("tests")
    error = None
    for _ in range(1000):
        if error := logger.emit_async(REFUND).accepted.exception(10):
            break
    assert isinstance(error, QueueFullError)
    yield logger
    provider.shutdown(0.1)


def refund(logger, *, fail_closed, error=None):
    @audited("order.refund", action="REFUND", logger=logger, fail_closed=fail_closed)
    def call():
        if error:
            raise error
        return "refunded"

    return call


def refund_async(logger, *, fail_closed, error=None):
    @audited("order.refund", action="REFUND", logger=logger, fail_closed=fail_closed)
    async def call():
        if error:
            raise error
        return "refunded"

    return lambda: asyncio.run(call())


@pytest.mark.parametrize("decorated", [refund, refund_async])
def test_full_queue_is_logged_and_the_result_stays(decorated, full_logger, caplog):
    assert decorated(full_logger, fail_closed=False)() == "refunded"
    assert "order.refund was not accepted" in caplog.text


@pytest.mark.parametrize("decorated", [refund, refund_async])
def test_full_queue_raises_where_the_function_fails_closed(decorated, full_logger):
    with pytest.raises(QueueFullError):
        decorated(full_logger, fail_closed=True)()


@pytest.mark.parametrize("decorated", [refund, refund_async])
def test_exception_of_the_function_is_raised_although_the_queue_is_full(decorated, full_logger, caplog):
    with pytest.raises(LockedError) as raised:
        decorated(full_logger, fail_closed=True, error=LockedError())()
    assert raised.value.__cause__ is None
    assert "order.refund was not accepted" in caplog.text


def test_function_on_an_event_loop_logs_later_that_its_record_was_not_accepted(full_logger, caplog):
    async def call():
        return refund(full_logger, fail_closed=False)()

    assert asyncio.run(call()) == "refunded"
    assert isinstance(full_logger.emit_async(REFUND).accepted.exception(10), QueueFullError)
    assert "order.refund was not accepted" in caplog.text


def test_function_on_an_event_loop_that_fails_closed_raises(full_logger):
    async def call():
        refund(full_logger, fail_closed=True)()

    with pytest.raises(QueueFullError):
        asyncio.run(call())


def test_application_without_a_provider_is_an_error(monkeypatch, caplog):
    monkeypatch.setattr(_default, "_provider", None)
    with pytest.raises(ConfigurationError, match="set_provider"):
        get_logger("orders")
    dropped = DROPPED._value
    assert refund(None, fail_closed=False)() == "refunded"
    assert refund_async(None, fail_closed=False)() == "refunded"
    assert "set_provider" in caplog.text
    assert dropped + 2 == DROPPED._value


def test_function_that_fails_closed_does_not_run_without_a_provider(monkeypatch):
    monkeypatch.setattr(_default, "_provider", None)
    with pytest.raises(ConfigurationError, match="set_provider"):
        refund(None, fail_closed=True, error=LockedError())()


def test_function_that_fails_closed_does_not_run_after_the_shutdown(app_log):
    app_log.provider.shutdown()
    with pytest.raises(ShutdownError):
        refund(None, fail_closed=True, error=LockedError())()


def generator():
    yield


async def async_generator():
    yield


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generator_functions_are_refused(function):
    with pytest.raises(ConfigurationError, match="generator"):
        audited("e", action="A")(function)
