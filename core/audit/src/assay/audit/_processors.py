"""The two kinds of processors: one adds attributes, the other delivers records. None changes a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit._entry import Entry, PendingReceipt


class AddingProcessor(Protocol):
    """Adds attributes to records.

    It receives a copy and returns additions, so it can neither change nor remove a record.
    """

    @property
    def resource_attributes(self) -> Mapping[str, Any]:
        """Attributes that the resource of every record gets."""
        ...

    def additions(self, record: LogRecord) -> Mapping[str, Any]:
        """Return the attributes to add.

        Args:
            record: The record, with what the processors before have added.
        """
        ...


class ForwardingProcessor(Protocol):
    """Hands records over. Safe to use from several threads."""

    @property
    def last_error(self) -> Exception | None:
        """Why the last attempt failed; None if it did not."""
        ...

    def submit(self, entry: Entry, *, urgent: bool) -> PendingReceipt:
        """Take a record, and return the future of its receipt.

        Args:
            entry: The record.
            urgent: Whether the caller waits for the receipt.

        Raises:
            AuditError: The record was not taken.
        """
        ...

    def force_flush(self, timeout: float) -> bool:
        """Send what waits within some seconds, and return whether nothing waits any more."""
        ...

    def shutdown(self, timeout: float) -> bool:
        """Send what waits within some seconds, stop, and return whether nothing was left."""
        ...
