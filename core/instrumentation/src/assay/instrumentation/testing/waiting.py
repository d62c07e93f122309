"""Wait for telemetry that arrives in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout: float = 60.0, interval: float = 0.02) -> T:
    """Return the first true value of a condition.

    Args:
        condition: Called until it returns a true value.
        timeout: Seconds until it is taken to have failed.
        interval: Seconds between two calls.

    Raises:
        TimeoutError: It has returned none.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{condition} has not come true in {timeout} s; it returned {found!r} last")
        time.sleep(interval)
