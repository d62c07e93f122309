"""Check the string formats of the schemas: RFC 3986 (URI, URI-reference) and RFC 3339 (date-time).

Each format is one regular expression, written from the grammar in the RFC's appendix, so that validation
needs no further dependency. The tests compare them with independent implementations.
"""

from __future__ import annotations

import calendar
import re

_PCT = r"%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-._~"
_SUB_DELIMS = r"!$&'()*+,;="
_PCHAR = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}:@]|{_PCT})"
_SEGMENT_NO_COLON = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}@]|{_PCT})+"
_H16 = r"[0-9A-Fa-f]{1,4}"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_LS32 = rf"(?:{_H16}:{_H16}|{_IPV4})"
_IPV6 = "|".join(
    (
        rf"(?:{_H16}:){{6}}{_LS32}",
        rf"::(?:{_H16}:){{5}}{_LS32}",
        rf"(?:{_H16})?::(?:{_H16}:){{4}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,1}}{_H16})?::(?:{_H16}:){{3}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,2}}{_H16})?::(?:{_H16}:){{2}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,3}}{_H16})?::{_H16}:{_LS32}",
        rf"(?:(?:{_H16}:){{0,4}}{_H16})?::{_LS32}",
        rf"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}",
        rf"(?:(?:{_H16}:){{0,6}}{_H16})?::",
    )
)
_IPVFUTURE = rf"[vV][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUB_DELIMS}:]+"
_USERINFO = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}:]|{_PCT})*"
_REG_NAME = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}]|{_PCT})*"
_AUTHORITY = rf"(?:{_USERINFO}@)?(?:\[(?:{_IPV6}|{_IPVFUTURE})\]|{_REG_NAME})(?::[0-9]*)?"
_ABEMPTY = rf"(?:/{_PCHAR}*)*"
_ABSOLUTE = rf"/(?:{_PCHAR}+{_ABEMPTY})?"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?"
_HIER = rf"(?://{_AUTHORITY}{_ABEMPTY}|{_ABSOLUTE}|{_PCHAR}+{_ABEMPTY}|)"
_RELATIVE = rf"(?://{_AUTHORITY}{_ABEMPTY}|{_ABSOLUTE}|{_SEGMENT_NO_COLON}{_ABEMPTY}|)"

_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+\-.]*:{_HIER}{_TAIL}")
_RELATIVE_REFERENCE = re.compile(rf"{_RELATIVE}{_TAIL}")
_DATE_TIME = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-([0-9]{2})[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def uri(value: str) -> str:
    """Return the value if it is a URI (RFC 3986 section 3); raise ValueError otherwise."""
    if not _URI.fullmatch(value):
        raise ValueError(
            "is not a URI (RFC 3986): it needs a scheme, and percent-encoding of non-ASCII characters"
        )
    return value


def uri_reference(value: str) -> str:
    """Return the value if it is a URI-reference (RFC 3986 section 4.1); raise ValueError otherwise."""
    if not (_RELATIVE_REFERENCE.fullmatch(value) or _URI.fullmatch(value)):
        raise ValueError("is not a URI-reference (RFC 3986)")
    return value


def date_time(value: str) -> str:
    """Return the value if it is a date-time with offset (RFC 3339 section 5.6); raise ValueError otherwise.

    Leap seconds are rejected, as the schemas' own validators reject them.
    """
    match = _DATE_TIME.fullmatch(value)
    if not match:
        raise ValueError("is not an RFC 3339 date-time, such as 2026-01-31T12:00:00Z")
    year, month, day = map(int, match.groups())
    if year == 0 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise ValueError("is not a day of the calendar")
    return value
