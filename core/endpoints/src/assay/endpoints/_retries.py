"""The `Retry-After` header."""

from __future__ import annotations

import time
from datetime import timezone
from email.utils import parsedate_to_datetime


def retry_after(value: str | None, *, now: float | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110 section 10.2.3), 0 or more.

    There is no upper bound: callers apply their own.

    Args:
        value: The header: a number of seconds or an HTTP date. None: the response has none.
        now: The time that a date is compared with, in seconds since 1970; the current time if left out.

    Returns:
        The seconds; None if there is no header, or it has another form.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:  # `-0000`: RFC 9110 dates are in UTC
        date = date.replace(tzinfo=timezone.utc)
    return max(date.timestamp() - (time.time() if now is None else now), 0.0)
