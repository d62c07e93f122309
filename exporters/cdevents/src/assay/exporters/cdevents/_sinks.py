"""The interface of a sink, and the settings that all sinks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from pydantic import BaseModel, Field

from assay.exporters.cdevents._outbox import OutboxEntry


class Retries(BaseModel, extra="forbid", frozen=True):
    """Back-off of failed deliveries: the wait doubles, with jitter, up to a maximum."""

    initial: float = Field(default=1.0, gt=0, description="Seconds before the first retry.")
    maximum: float = Field(default=60.0, gt=0, description="Maximum seconds between retries.")
    attempts: int = Field(
        default=1000, ge=1, description="Attempts after which an event becomes a dead letter."
    )
    refusals: int = Field(
        default=5,
        ge=1,
        description="Attempts after which an event becomes a dead letter if the receiver refuses it, for"
        " example with 400: a receiver that is being set up refuses what it accepts later.",
    )


class SinkSettings(BaseModel, extra="forbid", frozen=True):
    """The settings of every sink."""

    name: str = Field(
        default="",
        description="Names the sink in the outbox, in logs and in metrics; by default its type and target.",
    )
    types: tuple[str, ...] = Field(
        default=("*",), description="Glob patterns, one of which must match the event's type; by default all."
    )
    subjects: tuple[str, ...] = Field(
        default=("*",), description="Glob patterns, one of which must match the subject's id; by default all."
    )
    content: Mapping[str, str] = Field(
        default_factory=dict[str, str],
        description="Members that the subject's content must have, each with a glob pattern for its text,"
        ' such as `{rolloutRef: "*"}`; by default none.',
    )
    retry: Retries = Retries()

    @property
    def title(self) -> str:
        """The sink's name in the outbox, in logs and in metrics."""
        return self.name

    def accepts(self, event: Mapping[str, Any]) -> bool:
        """Return whether the sink accepts a CDEvent, by its type, its subject's id and its content."""
        event_type, subject = event["context"]["type"], event["subject"]
        return (
            _matches(event_type, self.types)
            and _matches(subject["id"], self.subjects)
            and all(
                isinstance(subject["content"].get(member), str)
                and fnmatchcase(subject["content"][member], pattern)
                for member, pattern in self.content.items()
            )
        )


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


class Sink(Protocol):
    """A destination of events. Used by one thread only."""

    batch: int
    """Maximum number of entries in one call of `send`."""

    def send(self, entries: Sequence[OutboxEntry]) -> None:
        """Deliver all entries, or none. When this returns, the receiver has them.

        Raises:
            SinkUnavailable: The sink accepts no event at present.
            DeliveryFailed: The delivery of these entries failed and may succeed later.
            DeliveryRefused: The sink refuses these entries.
        """
        ...

    def close(self) -> None:
        """Close open resources. May be called while `send` waits on another thread, to interrupt it."""
        ...
