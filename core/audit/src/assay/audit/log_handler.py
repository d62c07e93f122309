"""A handler of `logging` that emits audit records.

    logging.getLogger().addHandler(AuditHandler())
    log.log(AUDIT, "Refunded %s", order, extra={"audit": {"action": "REFUND", "outcome": "success"}})

A log call with `audit` in its `extra` becomes an audit record: `audit` contains fields of `AuditRecord`, the
event name is the logger's name unless `audit` states another, and the body is the message. Other log calls
are ignored.

`logging` discards a call below its logger's level before a handler sees it. The level `AUDIT` is above all
others, so no level discards it. Do not attach the handler behind a `QueueHandler`: its thread does not have
the actor.
"""

from __future__ import annotations

import logging
from typing import Any

from assay.audit import _default
from assay.audit._log_fields import emit_fields
from assay.audit._logger import AuditLogger

AUDIT = 60
"""The level of audit records, above `CRITICAL`, so that `logging.disable()` keeps them too."""
logging.addLevelName(AUDIT, "AUDIT")


class AuditHandler(logging.Handler):
    """Emits an audit record for each log call that has `audit` in its `extra`, or the level `AUDIT`.

    The log call returns when the record is accepted: on disk, with a `DiskQueue`. An event loop does not wait
    for that, unless the handler fails closed.

    Args:
        logger: Emits the records. None: `get_logger` of the name of the log call's logger.
        fail_closed: Let the log call raise an `AuditError` if the record is not accepted. If False, the error
            is logged by the logger `assay.audit`, and counted in `audit.records.dropped`.
    """

    def __init__(self, logger: AuditLogger | None = None, *, fail_closed: bool = False) -> None:
        super().__init__()
        self._audit_logger = logger
        self._fail_closed = fail_closed

    def handle(self, record: logging.LogRecord) -> Any:  # noqa: ANN401 - the base class's result varies
        """Emit a log record, without the base class's lock: threads wait for the disk together."""
        passed: Any = self.filter(record)  # from Python 3.12 on, a filter may return another record
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Emit the audit record of a log call, if it is one.

        Raises:
            AuditError: The record was not accepted, and the handler fails closed.
        """
        fields = getattr(record, "audit", None)
        if fields is None and record.levelno != AUDIT:
            return
        emit_fields(
            lambda: self._audit_logger or _default.get_logger(record.name),
            fields,
            {
                "event_name": record.name,
                "body": record.getMessage(),
                "time_unix_nano": int(record.created * 1e9),
            },
            fail_closed=self._fail_closed,
        )
