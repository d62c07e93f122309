"""Errors of the mapping, the validation and the delivery of CDEvents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CDEventsError(Exception):
    """Base of every error that this package raises."""


class RuleError(CDEventsError):
    """A mapping rule of the registry, or the `source` setting, is not valid: the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One violation found in a document.

    Args:
        field: Path of the member, such as `subject.content.outcome`; empty for the document as a whole.
        reason: The violation.
    """

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class InvalidEvent(CDEventsError):  # noqa: N818  the event is invalid, and `raise InvalidEvent` reads so
    """A document is not a valid CDEvent, or not a CloudEvent that carries one.

    Args:
        faults: Every violation found, at least one.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


class SinkUnavailable(CDEventsError):  # noqa: N818  an answer that a sink gives, named as it reads
    """The sink accepts no event at present: it is down, full or busy, or it refuses our credentials.

    Args:
        reason: The cause.
        after: Seconds to wait, as requested by the receiver; with None the back-off decides.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class DeliveryFailed(CDEventsError):  # noqa: N818  an answer that a sink gives, named as it reads
    """The delivery of this event failed and may succeed later; other subjects are not affected."""


class DeliveryRefused(CDEventsError):  # noqa: N818  an answer that a sink gives, named as it reads
    """The sink refuses this event."""
