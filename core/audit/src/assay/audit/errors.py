"""Errors of making a record and of handing it over. Every message says what to do."""

from __future__ import annotations


class AuditError(Exception):
    """Base of every error that this package raises."""


class RecordError(AuditError, ValueError):
    """The record lacks a mandatory field, or a field has a value that is not allowed."""


class ConfigurationError(AuditError, ValueError):
    """A setting of the provider, its processors or the exporter is invalid."""


class ShutdownError(AuditError, RuntimeError):
    """A record was emitted after the provider's shutdown. Nothing was sent."""


class QueueFullError(AuditError):
    """The queue cannot take the record: too many wait, or the disk is full. The record was not accepted."""


class QueueError(AuditError):
    """The queue on disk cannot be used: its folder is not private, or its files cannot be read."""


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


class RejectedError(ExportError):
    """The endpoint rejects what a record contains. Sending the same record again cannot help."""


class ConflictError(RejectedError):
    """HTTP 409: the log already holds a different record under this id. Retrying cannot help."""


class UnconfirmedError(ExportError):
    """The record is in the queue on disk, and no receipt arrived in time.

    It is sent again until the log has it: do not emit it again.
    """
