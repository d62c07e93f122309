"""Audit records through OpenTelemetry: the record, its canonical form, and its emission.

    from assay.audit import AuditLogger, AuditRecord, OTLPAuditExporter, actor

    logger = AuditLogger(OTLPAuditExporter(), {"service.name": "orders"})
    with actor(id="alice@example.com", type="user"):
        receipt = logger.emit(
            AuditRecord(event_name="order.refunded", action="REFUND", outcome="success", target_id="order-17")
        )

`emit` returns when the record is accepted, and raises when it is not. `submit` does not block: it returns a
future. Nothing is sampled, and nothing is dropped without an error.
"""

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
