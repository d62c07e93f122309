"""The chain of a logger's records (`audit.sequence.*`): each has the hash of the one before.

A chain belongs to one logger in one process. A forked child, and a logger whose record could not be queued,
begin a new one.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from assay.audit._receipt import AuditReceipt
from assay.semconv import attributes as keys

_chains: weakref.WeakSet[Chain] = weakref.WeakSet()


class Chain:
    """Numbers records from 1, and links them.

    Args:
        instance: The resource's `service.instance.id`; empty: a new id.
        name: The logger's name. Loggers of one process have chains of their own.
    """

    def __init__(self, instance: str, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._begin(instance or str(uuid.uuid4()))
        _chains.add(self)

    def begin_in_child(self) -> None:
        """Begin a new stream, in a forked child."""
        self._lock = threading.Lock()  # another thread of the parent may have had the lock
        self._begin(str(uuid.uuid4()))

    def _begin(self, instance: str) -> None:
        self._stream_id = f"{instance}/{self._name}"
        self._last: AuditReceipt | None = None
        self.number = 0
        self.is_ending = False

    @contextmanager
    def link(self) -> Generator[Link]:
        """Yield the next link. The record is the chain's next one only if the link is closed."""
        with self._lock:
            yield Link(self, self._stream_id)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the next record."""
        attributes: dict[str, Any] = {
            keys.AUDIT_SEQUENCE_STREAM_ID: self._stream_id,
            keys.AUDIT_SEQUENCE_NUMBER: self.number + 1,
        }
        if self._last is not None:
            attributes[keys.AUDIT_SEQUENCE_PREVIOUS_HASH] = self._last.integrity_hash
            attributes[keys.AUDIT_SEQUENCE_PREVIOUS_RECORD_ID] = self._last.record_id
        if self.is_ending:
            attributes[keys.AUDIT_SEQUENCE_END] = True
        return attributes

    def advance(self, receipt: AuditReceipt) -> None:
        """Note the next record."""
        self._last = receipt
        self.number += 1

    def give_up(self, stream_id: str) -> None:
        """Begin a new stream, if the chain is still at this one."""
        with self._lock:
            if self._stream_id == stream_id:
                self._begin(str(uuid.uuid4()))


class Link:
    """One record's place in a chain."""

    def __init__(self, chain: Chain, stream_id: str) -> None:
        self._chain = chain
        self._stream_id = stream_id
        self.attributes = chain.attributes()

    def close(self, receipt: AuditReceipt) -> None:
        """Note that the record was queued."""
        self._chain.advance(receipt)

    def check(self, accepted: Future[AuditReceipt]) -> None:
        """Give the stream up if its record was not accepted: its number stays without a record."""
        if accepted.exception() is not None:
            self._chain.give_up(self._stream_id)


def _begin_again() -> None:
    for chain in list(_chains):
        chain.begin_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_again)
