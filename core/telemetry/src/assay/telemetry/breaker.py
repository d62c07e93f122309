"""Cuts out a handler that keeps failing, and tries it again later.

A handler fails `FAILURE_THRESHOLD` times in a row: the breaker opens and the handler is passed over. After
`RETRY_AFTER` seconds one call is let through (half-open). If it succeeds the breaker closes; if it fails, the
wait doubles, up to `RETRY_AFTER_MOST`.

No lock: the fields are single words, and two threads that both take the trial call harm nobody.
"""

from __future__ import annotations

from time import monotonic

FAILURE_THRESHOLD = 5
RETRY_AFTER = 10.0
RETRY_AFTER_MOST = 300.0


class Breaker:
    """Whether a handler may be called.

    Attributes:
        failures: Failures since the last success.
        retry_at: When an open breaker lets one call through, in seconds of the monotonic clock; 0: closed.
    """

    __slots__ = ("_wait", "failures", "retry_at")

    def __init__(self) -> None:
        self.failures = 0
        self.retry_at = 0.0
        self._wait = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are passed over."""
        return self.retry_at > 0

    def allows(self) -> bool:
        """Return whether a call may be made now; of an open breaker, one call for each waiting time."""
        if not self.retry_at:
            return True
        now = monotonic()
        if now < self.retry_at:
            return False
        self.retry_at = now + self._wait
        return True

    def failed(self) -> bool:
        """Count a failure; return whether it opened the breaker."""
        self.failures += 1
        if self.failures < FAILURE_THRESHOLD:
            return False
        opened = not self.retry_at
        self._wait = RETRY_AFTER if opened else min(self._wait * 2, RETRY_AFTER_MOST)
        self.retry_at = monotonic() + self._wait
        return opened

    def succeeded(self) -> None:
        """Close the breaker."""
        self.failures = 0
        self.retry_at = 0.0
