"""HTTP requests to services on this machine. They bypass the proxies that the environment names."""

from __future__ import annotations

import http
import urllib.request
from collections.abc import Mapping
from typing import cast


def fetch(url: str, *, timeout: float, headers: Mapping[str, str] | None = None) -> str:
    """Return the body of a successful response to GET.

    Args:
        url: A loopback URL.
        timeout: Seconds to wait for the response.
        headers: Headers of the request.

    Raises:
        OSError: The service cannot be reached, or it answers with an error status.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310  a loopback URL
    with opener.open(request, timeout=timeout) as response:
        return cast("bytes", response.read()).decode("utf-8")


def answers(url: str) -> bool:
    """Return whether a service answers 200 within a second."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return response.status == http.HTTPStatus.OK
    except OSError:
        return False
