"""Audit records through OpenTelemetry: the record, its canonical form, and its emission.

    from assay.audit import AuditLogger, AuditRecord, OTLPAuditExporter, actor

    logger = AuditLogger(OTLPAuditExporter(), {"service.name": "orders"})
    with actor(id="alice@example.com", type="user"):
        receipt = logger.emit(
            AuditRecord(event_name="order.refunded", action="REFUND", outcome="success", target_id="order-17")
        )

`emit` returns when the record is accepted, and raises when it is not: nothing is sampled or dropped.
"""

from assay.audit.actor import Actor, actor, current_actor
from assay.audit.canonical import canonical_form, integrity_hash
from assay.audit.errors import (
    AuditError,
    ConfigurationError,
    ConflictError,
    ExportError,
    RecordError,
    ShutdownError,
)
from assay.audit.exporter import OTLPAuditExporter
from assay.audit.logger import AuditExporter, AuditLogger
from assay.audit.receipt import AuditReceipt
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
    "RecordError",
    "ShutdownError",
    "actor",
    "canonical_form",
    "current_actor",
    "integrity_hash",
]
