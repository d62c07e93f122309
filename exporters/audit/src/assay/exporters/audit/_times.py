"""Times that users write."""

from __future__ import annotations

import datetime as dt
import re

from assay.exporters.audit._errors import AuditLogError

_AGO = re.compile(r"(\d+)([smhd])").fullmatch
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str) -> dt.datetime:
    """Return a time in UTC.

    Args:
        text: `2026-11-21`, `2026-11-21T04:00:00+01:00`, or `90m` (ago). UTC if it names no offset.

    Raises:
        AuditLogError: The text has none of these forms.
    """
    try:
        if ago := _AGO(text):
            number, unit = ago.groups()
            when = dt.datetime.now(dt.timezone.utc) - dt.timedelta(**{_UNITS[unit]: int(number)})
        else:
            when = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return when.replace(tzinfo=when.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)
    except (ValueError, OverflowError) as error:
        raise AuditLogError(
            f"{text[:80]!r} is not a time: write 2026-11-21, 2026-11-21T04:00:00Z, or 90m, 24h, 7d (ago)"
        ) from error


def moment(text: str) -> str:
    """Return a time in the table's form (RFC 3339, UTC, microseconds).

    Args:
        text: See `parse_time`.

    Raises:
        AuditLogError: As `parse_time`.
    """
    return parse_time(text).isoformat(timespec="microseconds").replace("+00:00", "Z")
