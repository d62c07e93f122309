"""Warnings about clocks: an audit trail is worth what its times are worth (ISO 27001, clock synchronisation).

The sender compares this machine's clock with the `Date` of the endpoint's responses, which needs neither a
time server nor a privilege.
"""

from __future__ import annotations

import logging
import time
from email.utils import parsedate_to_datetime

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

DIFFERENCE = 5.0
"""Seconds between a record's two times, above which a warning is logged."""
OFFSET = 1.0
"""Seconds between two clocks, above which a warning is logged, beside what the comparison cannot resolve."""
INTERVAL = 60.0
"""Seconds between two warnings of a kind."""
_RESOLUTION = 1.0  # of `Date`, in seconds

_logger = logging.getLogger("assay.audit")
_silent_until = {"difference": 0.0, "offset": 0.0}


def check_difference(event_name: str, record: LogRecord) -> None:
    """Warn if a record was observed long after it happened, by its own times."""
    seconds = (record.observed_time_unix_nano - record.time_unix_nano) / 1e9
    if seconds > DIFFERENCE and _is_turn("difference"):
        _logger.warning(
            "audit record %s was observed %.1f s after it happened: check the clocks of the host of the event"
            " and of this one, unless the event was reported late",
            event_name,
            seconds,
        )


def check_offset(date: str | None, sent: float, received: float) -> None:
    """Warn if this machine's clock differs from the endpoint's.

    Args:
        date: The `Date` of a response.
        sent: When its request was sent, by this machine's clock, in seconds since 1970.
        received: When it was received.
    """
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return
    # The response's date has no fraction: it lies up to a second before the time of the response.
    offset = max(sent - theirs - _RESOLUTION, theirs - received, 0.0)
    if offset > OFFSET and _is_turn("offset"):
        _logger.warning(
            "this machine's clock differs from the audit endpoint's by at least %.1f s: check that both are"
            " synchronised, or the times of audit records are wrong",
            offset,
        )


def _is_turn(kind: str) -> bool:
    now = time.monotonic()
    if now < _silent_until[kind]:
        return False
    _silent_until[kind] = now + INTERVAL
    return True
