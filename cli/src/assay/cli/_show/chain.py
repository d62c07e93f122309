"""The CDEvents of a run's chain: delivered ones from the file, the others from the outbox."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._folder import Folder
from assay.exporters.cdevents.chains import chain_id, undelivered

LIMIT = 1000
"""Most CDEvents that are kept in memory, the first in the file."""


@dataclass(frozen=True)
class ChainEvent:
    """A CDEvent of a chain.

    Args:
        id: Its id.
        time: RFC 3339.
        type: Such as `dev.cdevents.pipelinerun.finished.0.2.0`.
        subject: Id of its subject.
        outcome: Its outcome, or empty.
        state: `delivered`, `pending` or `dead`.
        reason: Why it is pending or dead, or empty.
    """

    id: str
    time: str
    type: str
    subject: str
    outcome: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Chain:
    """The CDEvents of a run.

    Args:
        ids: The ids of the run's chains.
        events: The events, in the order of their times.
        left_out: Number of events beyond the limit.
    """

    ids: list[str]
    events: list[ChainEvent]
    left_out: int


def read_chain(folder: Folder, correlation_ids: Iterable[str]) -> Chain:
    """Return the CDEvents of the chains that a run's correlation ids name."""
    chains = sorted({chain_id(each) for each in correlation_ids})
    events: dict[str, ChainEvent] = {}
    left_out = 0
    needles = [each.encode() for each in chains]
    for document in otlp_lines.objects_with(folder.cdevents, needles):
        event = _event(document, chains, "delivered")
        if event is None or event.id in events:
            continue  # an event may be delivered twice
        if len(events) == LIMIT:
            left_out += 1
            continue
        events[event.id] = event
    for each in undelivered(folder.cdevents_outbox, chains, limit=LIMIT):
        with suppress(ValueError):  # a dead letter that is not JSON
            event = _event(json.loads(each.document), chains, each.state, each.reason)
            if event is not None:
                events.setdefault(event.id, event)
    return Chain(chains, sorted(events.values(), key=lambda event: event.time), left_out)


def _event(
    document: Mapping[str, Any], chains: Collection[str], state: str, reason: str = ""
) -> ChainEvent | None:
    """Return the CDEvent in a structured CloudEvent, None if it belongs to another chain."""
    try:
        context: Mapping[str, Any] = document["data"]["context"]
        subject: Mapping[str, Any] = document["data"]["subject"]
        if context.get("chainId") not in chains:
            return None
        content: Mapping[str, Any] = subject.get("content") or {}
        return ChainEvent(
            str(context["id"]),
            str(context["timestamp"]),
            str(context["type"]),
            str(subject["id"]),
            str(content.get("outcome") or ""),
            state,
            reason,
        )
    except (LookupError, TypeError, AttributeError):  # not of our sink
        return None
