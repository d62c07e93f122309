"""The time that deliveries go by: Unix seconds at the start of the process, then the monotonic clock.

A step of the system's clock therefore neither delays nor hurries a delivery.
"""

from __future__ import annotations

import time

_START = time.time() - time.monotonic()


def now() -> float:
    """Return the Unix time in seconds."""
    return _START + time.monotonic()
