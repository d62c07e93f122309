"""The record of a log call's `audit` fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from assay.audit._acceptance import accept, count_dropped, reporting
from assay.audit._logger import AuditLogger
from assay.audit._receipt import AuditReceipt
from assay.audit.errors import RecordError
from assay.audit.record import AuditRecord


def emit_fields(
    find_logger: Callable[[], AuditLogger], fields: object, defaults: Mapping[str, Any], *, fail_closed: bool
) -> AuditReceipt | None:
    """Emit the record that a log call describes.

    Args:
        find_logger: Returns the logger.
        fields: Fields of `AuditRecord`.
        defaults: The fields that the log call itself states.
        fail_closed: Whether an error is raised.

    Returns:
        The receipt; None if the record was not accepted.

    Raises:
        AuditError: The record was not accepted, and the caller fails closed.
    """
    with reporting(str(defaults["event_name"]), fail_closed=fail_closed):
        return accept(find_logger, _record_of(fields, defaults), fail_closed=fail_closed)
    return None


def _record_of(fields: object, defaults: Mapping[str, Any]) -> AuditRecord:
    try:
        return AuditRecord(**{**defaults, **cast("Mapping[str, Any]", fields)})
    except TypeError as error:
        count_dropped()
        raise RecordError(
            f"`audit` must be a mapping of fields of AuditRecord, with `action` and `outcome`: {error}"
        ) from error
