"""Audit records through OpenTelemetry: the record, its canonical form, and its emission.

    from assay.audit import AuditProvider, AuditRecord, BatchProcessor, DiskQueue, OTLPAuditExporter, actor

    queue = DiskQueue(Path("/var/lib/orders/audit-queue"))
    provider = AuditProvider(BatchProcessor(OTLPAuditExporter(), queue), {"service.name": "orders"})
    logger = provider.get_logger("orders.refunds")
    with actor(id="alice@example.com", type="user"):
        receipt = logger.emit(
            AuditRecord(event_name="order.refunded", action="REFUND", outcome="success", target_id="order-17")
        )
    provider.shutdown()

`emit` returns when the record is confirmed, and raises when it is not. `emit_async` does not block: it
returns a future. A record that a queue on disk has accepted survives the process, and is forgotten only when
it is confirmed. Nothing is sampled, and nothing is dropped without an error.

Importing the package loads none of its modules: a program that emits no record does not pay for them.
`assay.audit.instruments` alone creates the counters.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.audit._actor import Actor, actor, current_actor
    from assay.audit._batch import BatchProcessor
    from assay.audit._client import Client, client, current_client
    from assay.audit._default import get_logger, set_default_provider, set_provider
    from assay.audit._delivery import AuditExporter, Receipts, ReceiptSource
    from assay.audit._disk_queue import DiskQueue
    from assay.audit._entry import Entry, PendingReceipt
    from assay.audit._exporter import OTLPAuditExporter
    from assay.audit._logger import AuditLogger
    from assay.audit._memory_queue import MemoryQueue
    from assay.audit._processors import AddingProcessor, ForwardingProcessor
    from assay.audit._provider import AuditProvider
    from assay.audit._receipt import AuditReceipt
    from assay.audit._receipt_source import OTLPAuditReceipts
    from assay.audit._simple import SimpleProcessor
    from assay.audit.canonical import canonical_form, integrity_hash
    from assay.audit.decorator import audited
    from assay.audit.errors import (
        AuditError,
        ConfigurationError,
        ConflictError,
        ExportError,
        QueueError,
        QueueFullError,
        RecordError,
        RejectedError,
        ShutdownError,
        UnconfirmedError,
    )
    from assay.audit.record import AuditRecord

# The module of each exported name.
_MODULES = {
    "_actor": ("Actor", "actor", "current_actor"),
    "_batch": ("BatchProcessor",),
    "_client": ("Client", "client", "current_client"),
    "_default": ("get_logger", "set_default_provider", "set_provider"),
    "_delivery": ("AuditExporter", "ReceiptSource", "Receipts"),
    "_disk_queue": ("DiskQueue",),
    "_entry": ("Entry", "PendingReceipt"),
    "_exporter": ("OTLPAuditExporter",),
    "_logger": ("AuditLogger",),
    "_memory_queue": ("MemoryQueue",),
    "_processors": ("AddingProcessor", "ForwardingProcessor"),
    "_provider": ("AuditProvider",),
    "_receipt": ("AuditReceipt",),
    "_receipt_source": ("OTLPAuditReceipts",),
    "_simple": ("SimpleProcessor",),
    "canonical": ("canonical_form", "integrity_hash"),
    "decorator": ("audited",),
    "errors": (
        "AuditError",
        "ConfigurationError",
        "ConflictError",
        "ExportError",
        "QueueError",
        "QueueFullError",
        "RecordError",
        "RejectedError",
        "ShutdownError",
        "UnconfirmedError",
    ),
    "record": ("AuditRecord",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Actor",
    "AddingProcessor",
    "AuditError",
    "AuditExporter",
    "AuditLogger",
    "AuditProvider",
    "AuditReceipt",
    "AuditRecord",
    "BatchProcessor",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "DiskQueue",
    "Entry",
    "ExportError",
    "ForwardingProcessor",
    "MemoryQueue",
    "OTLPAuditExporter",
    "OTLPAuditReceipts",
    "PendingReceipt",
    "QueueError",
    "QueueFullError",
    "ReceiptSource",
    "Receipts",
    "RecordError",
    "RejectedError",
    "ShutdownError",
    "SimpleProcessor",
    "UnconfirmedError",
    "actor",
    "audited",
    "canonical_form",
    "client",
    "current_actor",
    "current_client",
    "get_logger",
    "integrity_hash",
    "set_default_provider",
    "set_provider",
]


def __getattr__(name: str) -> object:
    """Return an exported name, and load its module (PEP 562)."""
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the exported names beside the loaded ones."""
    return sorted({*globals(), *__all__})
