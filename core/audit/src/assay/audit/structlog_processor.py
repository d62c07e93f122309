"""A processor of `structlog` that emits audit records.

    structlog.configure(processors=[AuditProcessor(), *others])
    log.info("order.refunded", audit={"action": "REFUND", "outcome": "success", "target_id": "order-17"})

A log call with `audit` becomes an audit record: `audit` contains fields of `AuditRecord`, and the event name
is the log call's event unless `audit` states another. The call's other values and its context stay out of the
record, because any part of the program may bind them.

The processor must be the first one: others may discard the call, or change its values. A filtering bound
logger discards calls below its level before any processor sees them.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from assay.audit import _default
from assay.audit._log_fields import emit_fields
from assay.audit._logger import AuditLogger
from assay.semconv import attributes as keys

_NAME = "structlog"


class AuditProcessor:
    """Emits an audit record for each log call that has `audit`.

    The log call goes on when the record is accepted: on disk, with a `DiskQueue`. An event loop does not wait
    for that, unless the processor fails closed.

    Args:
        logger: Emits the records. None: `get_logger("structlog")`.
        fail_closed: Let the log call raise an `AuditError` if the record is not accepted. If False, the error
            is logged by the logger `assay.audit`, and counted in `audit.records.dropped`.
    """

    def __init__(self, logger: AuditLogger | None = None, *, fail_closed: bool = False) -> None:
        self._logger = logger
        self._fail_closed = fail_closed

    def __call__(
        self, logger: object, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Emit the audit record of a log call, and return the call with the record's id instead of `audit`.

        Raises:
            AuditError: The record was not accepted, and the processor fails closed.
        """
        del logger, method_name
        fields = event_dict.pop("audit", None)
        if fields is None:
            return event_dict
        receipt = emit_fields(
            lambda: self._logger or _default.get_logger(_NAME),
            fields,
            {"event_name": event_dict.get("event", "")},
            fail_closed=self._fail_closed,
        )
        if receipt is not None:
            event_dict[keys.AUDIT_RECORD_ID] = receipt.record_id
        return event_dict
