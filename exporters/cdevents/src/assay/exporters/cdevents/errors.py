"""What can go wrong between a record and a delivered CDEvent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CDEventsError(Exception):
    """Base of everything that this package raises."""


class RuleError(CDEventsError):
    """A mapping rule of the registry, or the `source` setting, cannot work: the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a document.

    Args:
        field: Path to the member, such as `subject.content.outcome`; empty for the document as a whole.
        reason: What is wrong with it.
    """

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class InvalidEvent(CDEventsError):  # noqa: N818  it is the event that is invalid, and reads so where it is raised
    """A document is no valid CDEvent, or no CloudEvent that carries one.

    Args:
        faults: All that is wrong with it, at least one.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


class SinkUnavailable(CDEventsError):  # noqa: N818  an answer that a sink gives, named as it reads
    """The sink takes nothing now: down, full, busy, or refusing our credentials. The event is not to blame.

    Args:
        reason: What happened.
        after: Seconds that the sink asked us to wait; None leaves it to the back-off.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class DeliveryFailed(CDEventsError):  # noqa: N818  as above
    """The sink failed over this event; other subjects may fare better. Worth another try."""


class DeliveryRefused(CDEventsError):  # noqa: N818  as above
    """The sink will never take this event."""
