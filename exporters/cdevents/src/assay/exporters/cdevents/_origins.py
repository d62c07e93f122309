"""Which event a link comes from: only events that the sink gets too.

A sink may not accept the event that started a span. That event may be invalid or a dead letter. Or it never
existed, because another process reports the end of the run and has a span of its own.
"""

from __future__ import annotations

from assay.exporters.cdevents._mapping import CHAIN_HEAD_TYPES, MappedEvent
from assay.exporters.cdevents._outbox import DeliveryOutbox


class Origins:
    """Finds the origins of the links of one batch.

    Args:
        outbox: The events of earlier batches.
    """

    def __init__(self, outbox: DeliveryOutbox) -> None:
        self._outbox = outbox
        self._accepted: set[tuple[str, str]] = set()
        self._heads: dict[tuple[str, str], str] = {}

    def of(self, event: MappedEvent, sink: str) -> str:
        """Return the id of the event that an event follows, among those that the sink gets; empty if none.

        It is the start of the event's span, else the head of its chain: the newest event that queued or
        started the run or the deployment.
        """
        if event.origin and self._is_accepted(sink, event.origin):
            return event.origin
        head = self._head(event.chain, sink) if event.chain else ""
        return head if head != event.id else ""

    def accept(self, event: MappedEvent, sink: str) -> None:
        """Note that the sink gets an event of this batch."""
        self._accepted.add((sink, event.id))
        if event.chain and event.type in CHAIN_HEAD_TYPES:
            self._heads[event.chain, sink] = event.id

    def _is_accepted(self, sink: str, event_id: str) -> bool:
        return (sink, event_id) in self._accepted or self._outbox.has(sink, event_id)

    def _head(self, chain: str, sink: str) -> str:
        place = chain, sink
        if place not in self._heads:
            self._heads[place] = self._outbox.head(chain, CHAIN_HEAD_TYPES, sink)
        return self._heads[place]
