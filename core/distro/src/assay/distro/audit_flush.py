"""Sends the audit records that ended processes of this user have left: `assay audit flush`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from assay.distro._audit_queue import ENDPOINT_FILE, audit_exporter, audit_queue, audit_receipts
from assay.distro._settings import read

if TYPE_CHECKING:
    from assay.audit.recovery import Recovered


def flush_audit_queue(timeout: float, *, retry_rejected: bool = False) -> Recovered:
    """Send the records in the queue of the endpoint that the environment names.

    Args:
        timeout: Seconds to wait for receipts at most.
        retry_rejected: Whether to send records again that were set aside.

    Raises:
        AuditError: The settings forbid sending, or the queue cannot be used.
    """
    from assay.audit.recovery import recover  # noqa: PLC0415 - imports SQLite

    settings, _ = read()
    exporter = audit_exporter(settings, timeout=settings.audit_timeout)
    return recover(
        audit_queue(settings),
        exporter,
        audit_receipts(settings),
        timeout=timeout,
        retry_rejected=retry_rejected,
    )


def other_audit_queues() -> Iterator[tuple[str, int]]:
    """Yield the endpoints of other queues in which records wait, and how many.

    Raises:
        AuditError: The queue cannot be used.
    """
    from assay.audit import DiskQueue  # noqa: PLC0415 - imports SQLite

    settings, _ = read()
    own = audit_queue(settings).folder
    for folder in sorted(own.parent.iterdir()):
        if folder != own and (folder / ENDPOINT_FILE).is_file():
            waiting = sum(len(store) for store in DiskQueue(folder).abandoned())
            if waiting:
                yield _endpoint(folder), waiting


def _endpoint(folder: Path) -> str:
    return (folder / ENDPOINT_FILE).read_text(encoding="utf-8", errors="replace").strip()
