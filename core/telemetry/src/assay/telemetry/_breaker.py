"""A circuit breaker: stops calls to a handler that keeps failing, and tries it again later.

After `FAILURE_THRESHOLD` failures in a row the breaker opens and the handler is skipped. After `RETRY_AFTER`
seconds the breaker allows one call (half-open). If it succeeds, the breaker closes; if it fails, the wait
doubles, up to `RETRY_AFTER_MOST`.

There is no lock: each field is written as a whole, and two threads that both make the trial call do no harm.
"""

from __future__ import annotations

from time import monotonic

FAILURE_THRESHOLD = 5
RETRY_AFTER = 10.0
RETRY_AFTER_MOST = 300.0


class Breaker:
    """Decides whether a handler may be called.

    Attributes:
        failures: Failures since the last success.
        retry_at: When an open breaker allows one call, in seconds of the monotonic clock; 0: closed.
    """

    __slots__ = ("_wait", "failures", "retry_at")

    def __init__(self) -> None:
        self.failures = 0
        self.retry_at = 0.0
        self._wait = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are skipped."""
        return self.retry_at > 0

    def allows(self) -> bool:
        """Return whether a call may be made now; an open breaker allows one call per waiting time."""
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
