"""Emits a record for a caller that does something else, such as a decorated function or a log call.

A record is accepted when it is in the queue on disk. If it is not accepted, a caller that fails closed gets
the error. For others the error is logged, and the caller continues.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager

from assay.audit._entry import PendingReceipt
from assay.audit._logger import EMIT_TIMEOUT, AuditLogger
from assay.audit._receipt import AuditReceipt
from assay.audit.errors import AuditError, UnconfirmedError
from assay.audit.instruments import DROPPED, EMITTED
from assay.audit.record import AuditRecord

_logger = logging.getLogger("assay.audit")


def accept(
    find_logger: Callable[[], AuditLogger], record: AuditRecord, *, fail_closed: bool
) -> AuditReceipt | None:
    """Emit a record, and wait until it is accepted; on an event loop only where the caller fails closed.

    Args:
        find_logger: Returns the logger.
        record: The record.
        fail_closed: Whether an error is raised.

    Returns:
        The receipt, before the log has stored the record; None if it was not accepted.

    Raises:
        AuditError: The record was not accepted within 30 s, and the caller fails closed.
    """
    with reporting(record.event_name, fail_closed=fail_closed):
        pending = _found(find_logger).emit_async(record)
        if _is_on_event_loop() and not fail_closed:
            pending.accepted.add_done_callback(lambda done: _report_failure(record.event_name, done))
            return pending.entry.receipt
        try:
            return pending.accepted.result(EMIT_TIMEOUT)
        except FutureTimeoutError as error:
            raise _too_late(pending) from error
    return None


async def accept_on_loop(
    find_logger: Callable[[], AuditLogger], record: AuditRecord, *, fail_closed: bool
) -> None:
    """Emit a record, and wait until it is accepted, without blocking the event loop.

    Raises:
        AuditError: As `accept`.
    """
    with reporting(record.event_name, fail_closed=fail_closed):
        pending = _found(find_logger).emit_async(record)
        accepted = asyncio.wrap_future(pending.accepted)
        done, _ = await asyncio.wait([accepted], timeout=EMIT_TIMEOUT)
        if not done:
            raise _too_late(pending)
        accepted.result()


@contextmanager
def reporting(event_name: str, *, fail_closed: bool) -> Generator[None]:
    """Raise the errors of a block where the caller fails closed; elsewhere log them."""
    try:
        yield
    except Exception as error:
        if fail_closed:
            raise
        _report(event_name, error)


def count_dropped() -> None:
    """Count a record that does not reach a logger, which counts all others."""
    EMITTED.add()
    DROPPED.add()


def _found(find_logger: Callable[[], AuditLogger]) -> AuditLogger:
    try:
        return find_logger()
    except AuditError:
        count_dropped()
        raise


def _too_late(pending: PendingReceipt) -> UnconfirmedError:
    return UnconfirmedError(
        f"audit record {pending.entry.receipt.record_id} was not accepted within {EMIT_TIMEOUT:g} s: it waits"
        " and is still sent: do not emit it again"
    )


def _report_failure(event_name: str, done: Future[AuditReceipt]) -> None:
    if (error := done.exception()) is not None:
        _report(event_name, error)


def _report(event_name: str, error: BaseException) -> None:
    _logger.error("audit record %s was not accepted: %s", event_name, error)


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
