"""Chains of CDEvents: their ids, and their events that have not been delivered.

for event in undelivered(Path("cdevents.db"), [chain_id("run-1")]):
    print(event.state, event.reason)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.exporters.cdevents._mapping import chain_id
from assay.exporters.cdevents.errors import CDEventsError

__all__ = ["Undelivered", "chain_id", "undelivered"]

_SELECT = """
SELECT sink, state, attempts, reason, document FROM delivery
WHERE chain = ? AND state <> 'sent' ORDER BY seq LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event that a sink has not received yet, or will not receive.

    Args:
        sink: Name of the sink; empty for an invalid event, which no sink gets.
        state: `pending`, or `dead`: a dead letter.
        attempts: Number of deliveries attempted.
        reason: Why it is a dead letter, or why the last attempt failed; or empty.
        document: The structured CloudEvent as JSON text.
    """

    sink: str
    state: Literal["pending", "dead"]
    attempts: int
    reason: str
    document: str


def undelivered(outbox: Path, chains: Collection[str], *, limit: int = 1000) -> list[Undelivered]:
    """Return the undelivered events of chains, those of each chain in the order of their arrival.

    Args:
        outbox: The exporter's outbox, which is only read; the exporter may be running.
        chains: The chain ids.
        limit: Most events of each chain.

    Raises:
        CDEventsError: The file is not an outbox, or it cannot be read.
    """
    if not outbox.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{outbox.absolute().as_uri()}?mode=ro", uri=True)) as box:
            return [Undelivered(*row) for chain in chains for row in box.execute(_SELECT, (chain, limit))]
    except sqlite3.Error as error:
        raise CDEventsError(f"{outbox}: the outbox cannot be read: {error}") from error
