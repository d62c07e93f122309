"""HTTP requests to services on this machine. They bypass the proxies that the environment names."""

from __future__ import annotations

import http
import urllib.request
from typing import cast


def fetch(url: str, *, timeout: float) -> str:
    """Return the body of a successful response to GET.

    Args:
        url: A loopback URL.
        timeout: Seconds to wait for the response.

    Raises:
        OSError: The service cannot be reached, or it answers with an error status.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout) as response:
        return cast("bytes", response.read()).decode("utf-8")


def answers(url: str) -> bool:
    """Return whether a service answers 200 within a second."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return response.status == http.HTTPStatus.OK
    except OSError:
        return False
