"""The receipt for an accepted record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditReceipt:
    """Identifies a record that was accepted.

    Args:
        record_id: The record's `audit.record.id`.
        integrity_hash: SHA-256 of its canonical form, lower-case hexadecimal.
        sink_timestamp: When the log stored it, in ns since 1970. None when a Collector answered: then
            `GET /v1/audit/receipts/{record_id}` at the sink returns it.
    """

    record_id: str
    integrity_hash: str
    sink_timestamp: int | None = None
