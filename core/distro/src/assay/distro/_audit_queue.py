"""Where audit records wait in this process, and what sends them: the settings as parts of `assay.audit`."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from assay.audit.errors import AuditError, QueueError
from assay.distro._settings import Settings
from assay.endpoints import without_credentials

if TYPE_CHECKING:
    from assay.audit import DiskQueue, OTLPAuditExporter, OTLPAuditReceipts

BRIEF = 1.0
"""Seconds for a record while the endpoint does not respond."""
ENDPOINT_FILE = "endpoint"
"""The file of a queue that names its endpoint, for people."""

_logger = logging.getLogger("assay.distro.audit")


def audit_exporter(settings: Settings, *, retries: int = 0, timeout: float = BRIEF) -> OTLPAuditExporter:
    """Return the exporter that the settings describe; it connects with the first record.

    Raises:
        AuditError: Records must not be sent with these settings.
    """
    from assay.audit import OTLPAuditExporter  # noqa: PLC0415 - imports an HTTP client

    return OTLPAuditExporter(
        settings.audit_endpoint,
        token=settings.audit_token,
        certificate=settings.audit_certificate,
        client_certificate=settings.audit_client_certificate,
        client_key=settings.audit_client_key,
        timeout=timeout,
        retries=retries,
    )


def audit_receipts(settings: Settings) -> OTLPAuditReceipts | None:
    """Return the source of receipts that the settings describe, None if there is none.

    Raises:
        AuditError: Receipts must not be asked for with these settings.
    """
    if not settings.audit_receipts_endpoint:
        return None
    from assay.audit import OTLPAuditReceipts  # noqa: PLC0415 - imports an HTTP client

    return OTLPAuditReceipts(
        settings.audit_receipts_endpoint,
        token=settings.audit_receipts_token or settings.audit_token,
        certificate=settings.audit_certificate,
        client_certificate=settings.audit_client_certificate,
        client_key=settings.audit_client_key,
        timeout=settings.audit_timeout,
    )


def audit_queue(settings: Settings) -> DiskQueue:
    """Return the queue on disk that the settings describe, with its folder.

    Raises:
        QueueError: The folder cannot be used, or this system has no queue on disk.
    """
    try:
        from assay.audit import DiskQueue  # noqa: PLC0415 - imports SQLite
    except ImportError as error:  # no `fcntl` on Windows, or a Python without SQLite
        raise QueueError(f"this Python cannot keep audit records on disk: {error}") from error
    queue = DiskQueue(audit_queue_folder(settings))
    queue.prepare()
    with suppress(OSError):
        file = queue.folder / ENDPOINT_FILE
        if not file.exists():
            file.write_text(f"{without_credentials(settings.audit_endpoint)}\n")
    return queue


def audit_queue_folder(settings: Settings) -> Path:
    """Return the folder of the queue: one for each endpoint, since whoever uses a queue sends all of it.

    Raises:
        QueueError: No folder is set, and the user has no home.
    """
    name = hashlib.sha256(settings.audit_endpoint.encode()).hexdigest()[:16]
    if settings.audit_queue_directory:
        return Path(settings.audit_queue_directory) / name
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # noqa: PTH117 - XDG: a relative path is ignored
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError as error:
            raise QueueError("this user has no home: set ASSAY_AUDIT_QUEUE_DIRECTORY") from error
    return Path(state) / "assay" / "audit-queue" / name


def queue_or_none(settings: Settings) -> DiskQueue | None:
    """Return the queue on disk; None, with a warning, where there cannot be one or none is wanted."""
    if settings.audit_queue == "memory":
        return None
    try:
        return audit_queue(settings)
    except AuditError as error:
        _logger.warning(
            "audit records are not kept on disk: %s. Each waits for the audit endpoint instead. Set"
            " ASSAY_AUDIT_QUEUE_DIRECTORY to a folder that this user can write, or ASSAY_AUDIT_QUEUE=memory",
            error,
        )
        return None
