"""What goes wrong when a record is made or handed over; every message says what to do."""

from __future__ import annotations


class AuditError(Exception):
    """Base of every error that this package raises."""


class RecordError(AuditError, ValueError):
    """The record lacks a mandatory field, or a field has a value that it may not have."""


class ConfigurationError(AuditError, ValueError):
    """A setting of the exporter does not hold."""


class ShutdownError(AuditError, RuntimeError):
    """`emit` after `shutdown`: nothing would carry the record any more."""


class ExportError(AuditError):
    """The record was not accepted by the other side. It may not be taken as logged.

    Args:
        message: What happened and what to do.
        status: The HTTP status, None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConflictError(ExportError):
    """409: the log already holds another record under this id. Final: trying again cannot help."""
