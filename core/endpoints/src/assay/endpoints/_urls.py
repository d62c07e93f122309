"""HTTP URLs that something is sent to."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from assay.endpoints._addresses import is_loopback
from assay.endpoints._errors import EndpointError

_EXPECTED = "expected an http or https URL, such as http://127.0.0.1:4318"


def check_http_url(url: str) -> str:
    """Return the URL if it is an absolute http or https URL.

    Raises:
        EndpointError: It is not.
    """
    _split(url)
    return url


def check_confidential(url: str) -> str:
    """Return the URL if requests to it cross no network in the clear: https, or http to loopback.

    Raises:
        EndpointError: It is not an absolute http or https URL, or it is http to another host.
    """
    parts = _split(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise EndpointError("plain http would cross the network in the clear: use https")
    return url


def check_no_credentials(url: str) -> str:
    """Return the URL if it holds no user name, password or query, all of which may be secrets.

    Raises:
        EndpointError: It is not an absolute http or https URL, or it holds one of these.
    """
    parts = _split(url)
    if "@" in parts.netloc:
        raise EndpointError("the URL holds credentials: use the setting for the token instead")
    if parts.query:
        raise EndpointError("the URL has a query, which may hold a credential: leave it out")
    return url


def _split(url: str) -> SplitResult:
    # urlsplit removes line ends and tabs, and an HTTP client might not.
    if not url.isprintable() or " " in url:
        raise EndpointError(_EXPECTED)
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that is not a number from 0 to 65535
    except ValueError:
        raise EndpointError(_EXPECTED) from None  # the cause contains parts of the URL
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EndpointError(_EXPECTED)
    return parts
