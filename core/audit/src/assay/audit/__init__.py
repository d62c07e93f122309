"""Audit records through OpenTelemetry: the record, its canonical form, and its emission.

    from assay.audit import AuditLogger, AuditRecord, OTLPAuditExporter, actor

    logger = AuditLogger(OTLPAuditExporter(), {"service.name": "orders"})
    with actor(id="alice@example.com", type="user"):
        receipt = logger.emit(
            AuditRecord(event_name="order.refunded", action="REFUND", outcome="success", target_id="order-17")
        )

`emit` returns when the record is accepted, and raises when it is not. `submit` does not block: it returns a
future. Nothing is sampled, and nothing is dropped without an error.

Importing the package loads none of its modules: a program that emits no record does not pay for them.
`assay.audit.instruments` alone creates the counters.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.audit._actor import Actor, actor, current_actor
    from assay.audit._exporter import OTLPAuditExporter
    from assay.audit._logger import AuditExporter, AuditLogger
    from assay.audit._receipt import AuditReceipt
    from assay.audit.canonical import canonical_form, integrity_hash
    from assay.audit.errors import (
        AuditError,
        ConfigurationError,
        ConflictError,
        ExportError,
        QueueFullError,
        RecordError,
        ShutdownError,
    )
    from assay.audit.record import AuditRecord

__all__ = [
    "Actor",
    "AuditError",
    "AuditExporter",
    "AuditLogger",
    "AuditReceipt",
    "AuditRecord",
    "ConfigurationError",
    "ConflictError",
    "ExportError",
    "OTLPAuditExporter",
    "QueueFullError",
    "RecordError",
    "ShutdownError",
    "actor",
    "canonical_form",
    "current_actor",
    "integrity_hash",
]

# In the order of what they load in turn.
_MODULES = ("errors", "canonical", "record", "_receipt", "_actor", "_logger", "_exporter")


def __getattr__(name: str) -> object:
    """Return an exported name, and load its module (PEP 562)."""
    if name in __all__:
        for module in _MODULES:
            loaded = import_module(f"{__name__}.{module}")
            if hasattr(loaded, name):
                return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the exported names beside the loaded ones."""
    return sorted({*globals(), *__all__})
