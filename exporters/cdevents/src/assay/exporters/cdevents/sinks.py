"""What a sink is, and the settings that all sinks share."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from pydantic import BaseModel, Field

from assay.exporters.cdevents.outbox import Letter


class Retries(BaseModel, extra="forbid", frozen=True):
    """When a failed delivery is tried again: the waiting time doubles, with jitter, up to a maximum."""

    initial: float = Field(default=1.0, gt=0, description="Seconds before the first retry.")
    maximum: float = Field(default=60.0, gt=0, description="Seconds that a wait may grow to.")
    attempts: int = Field(default=1000, ge=1, description="After so many an event becomes a dead letter.")


class SinkSettings(BaseModel, extra="forbid", frozen=True):
    """What every sink has."""

    name: str = Field(default="", description="Names the sink in the outbox; default: its type and target.")
    types: tuple[str, ...] = Field(default=("*",), description="Globs; one must match the event's type.")
    subjects: tuple[str, ...] = Field(default=("*",), description="Globs; one must match the subject's id.")
    retry: Retries = Retries()

    @property
    def title(self) -> str:
        """The sink's name in the outbox, in logs and on series."""
        return self.name

    def takes(self, event_type: str, subject: str) -> bool:
        """Return whether an event is for this sink."""
        return any(fnmatchcase(event_type, glob) for glob in self.types) and any(
            fnmatchcase(subject, glob) for glob in self.subjects
        )


class Sink(Protocol):
    """Where events go. Used by one thread only."""

    batch: int
    """How many letters `send` takes at once."""

    def send(self, letters: Sequence[Letter]) -> None:
        """Deliver letters, all or none; returning means that the receiver has them.

        Raises:
            SinkUnavailable: Nothing can be delivered now.
            DeliveryFailed: These letters failed; worth another try.
            DeliveryRefused: They will never be taken.
        """
        ...

    def close(self) -> None:
        """Let go of what is open. May be called while `send` waits in another thread, to cut it short."""
        ...
