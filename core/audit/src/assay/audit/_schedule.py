"""When the sender of a batching processor sends, asks for receipts, and looks for what others left."""

from __future__ import annotations

from math import inf
from time import monotonic

from assay.audit._store import Store

FIRST_RETRY = 1.0
LONGEST_RETRY = 30.0
"""Seconds between two attempts while the endpoint accepts no records; doubled from the first on."""
FIRST_CONFIRMATION = 0.25
LONGEST_CONFIRMATION = 30.0
"""Seconds between two questions for receipts; doubled from the first on."""
ADOPTION = 30.0
"""Seconds between two looks for records that processes have left."""


class Schedule:
    """The sender's times. Its caller serializes the calls.

    Args:
        batch_size: Records from which on a batch is sent at once.
        delay: Seconds after which a batch is sent that is not full.
        adopts: Whether processes that end leave records.
    """

    def __init__(self, batch_size: int, delay: float, *, adopts: bool) -> None:
        self._batch_size = batch_size
        self._delay = delay
        self._send_at = inf
        self._blocked_until = 0.0
        self._retry = FIRST_RETRY
        self._confirm_at = inf
        self._confirmation = FIRST_CONFIRMATION
        self._adopt_at = 0.0 if adopts else inf
        self.is_urgent = False
        self.failures = 0

    def hurry(self) -> None:
        """Send what waits now, whatever failed before."""
        self.is_urgent = True
        self._blocked_until = 0.0

    def note_opened(self, store: Store) -> None:
        """Note that the store was opened: what a process before has left in it is due."""
        if store.waiting_count():
            self._send_at = 0.0
        if len(store) > store.waiting_count():
            self._confirm_at = 0.0

    def note_waiting(self) -> None:
        """Note that a record waits from now on."""
        self._send_at = min(self._send_at, monotonic() + self._delay)

    def note_success(self, store: Store) -> None:
        """Note that a batch was accepted."""
        self._retry = FIRST_RETRY
        if not store.waiting_count():
            self.is_urgent = False
            self._send_at = inf
        self._confirmation = FIRST_CONFIRMATION
        self._confirm_at = min(self._confirm_at, monotonic() + self._confirmation)

    def note_failure(self, retry_after: float | None) -> None:
        """Note that an attempt failed, and how many seconds the response asked to wait."""
        self.failures += 1
        self._blocked_until = monotonic() + (self._retry if retry_after is None else retry_after)
        self._retry = min(2 * self._retry, LONGEST_RETRY)

    def note_confirmation(self, store: Store) -> None:
        """Note that receipts were asked for."""
        self._confirmation = min(2 * self._confirmation, LONGEST_CONFIRMATION)
        is_done = len(store) == store.waiting_count()
        self._confirm_at = inf if is_done else monotonic() + self._confirmation
        if store.waiting_count():
            self._send_at = min(self._send_at, monotonic())

    def note_adoption(self) -> None:
        """Note that the records that others left are looked for."""
        self._adopt_at = monotonic() + ADOPTION

    def may_send(self, store: Store) -> bool:
        """Return whether it is time to send."""
        return self._send_time(store) <= monotonic()

    def may_confirm(self) -> bool:
        """Return whether it is time to ask for receipts."""
        return self._confirm_at <= monotonic()

    def may_adopt(self, store: Store) -> bool:
        """Return whether it is time to look for what others left: after what this process has."""
        return not store.waiting_count() and self._adopt_at <= monotonic()

    def wait(self, store: Store | None) -> float | None:
        """Return the seconds until there is something to do, 0 for now; None: until a record waits."""
        if store is None:
            return None
        adoption = inf if store.waiting_count() else self._adopt_at
        soonest = min(self._send_time(store), self._confirm_at, adoption)
        return None if soonest == inf else max(soonest - monotonic(), 0.0)

    def _send_time(self, store: Store) -> float:
        waiting = store.waiting_count()
        if not waiting:
            return inf
        if self.is_urgent or waiting >= self._batch_size:
            return self._blocked_until
        return max(self._send_at, self._blocked_until)
