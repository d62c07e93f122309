"""Errors of making a record and of handing it over. Every message says what to do."""

from __future__ import annotations


class AuditError(Exception):
    """Base of every error that this package raises."""


class RecordError(AuditError, ValueError):
    """The record lacks a mandatory field, or a field has a value that is not allowed."""


class ConfigurationError(AuditError, ValueError):
    """A setting of the exporter is invalid."""


class ShutdownError(AuditError, RuntimeError):
    """A record was emitted after the logger's shutdown. Nothing was sent."""


class QueueFullError(AuditError):
    """The queue of records that wait in memory is full. The record was not accepted."""


class ExportError(AuditError):
    """The endpoint did not accept the record. Do not treat it as logged.

    Args:
        message: What happened and what to do.
        status: The HTTP status; None when there was no response.
        is_final: Whether the same attempt would fail again: a rejection, a wrong token, a wrong certificate.
        retry_after: The seconds that the response asks to wait before a retry; None if it does not say.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        is_final: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_final = is_final
        self.retry_after = retry_after


class ConflictError(ExportError):
    """HTTP 409: the log already holds a different record under this id. Retrying cannot help."""
